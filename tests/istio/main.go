// Reads deploy/istio strictly, as Istio's API has it, and prints what Istio makes of it: a configuration for plain Envoy.
//
//	istio-envoy FOLDER PROVIDER LISTEN UPSTREAM AUTHORIZER
//
// PROVIDER is one of the mesh's extension providers; the others are ports of 127.0.0.1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 5 {
		return fmt.Errorf("istio-envoy FOLDER PROVIDER LISTEN UPSTREAM AUTHORIZER")
	}
	files, err := read(arguments[0])
	if err != nil {
		return err
	}
	var ports [3]int
	for index, text := range arguments[2:] {
		if ports[index], err = strconv.Atoi(text); err != nil {
			return err
		}
	}
	bootstrap, err := files.envoy(arguments[1], ports[0], ports[1], ports[2])
	if err != nil {
		return err
	}
	printed := json.NewEncoder(os.Stdout)
	printed.SetIndent("", "  ")
	return printed.Encode(bootstrap)
}
