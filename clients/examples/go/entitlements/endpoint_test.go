package entitlements

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func listening(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "edge.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return socket
}

func TestTheVariableGoesBeforeTheSocketAndAnEmptyOneCountsAsNone(t *testing.T) {
	socket := listening(t)
	for named, expected := range map[string]string{
		"core:50051": "core:50051", " unix:/e.sock ": "unix:/e.sock", "unix:///e.sock": "unix:///e.sock",
		"": "unix:" + socket, "  ": "unix:" + socket,
	} {
		if found, err := endpoint(named, socket); err != nil || found != expected {
			t.Errorf("%q: %q, %v", named, found, err)
		}
	}
	t.Setenv(variable, "core:1")
	if found, err := Endpoint(); err != nil || found != "core:1" {
		t.Error(found, err)
	}
}

func TestAVariableThatCannotBeUsedIsNamed(t *testing.T) {
	socket := listening(t)
	for _, named := range []string{",", "core:1,core:2", "https://core:1"} {
		if found, err := endpoint(named, socket); err == nil || !strings.HasPrefix(err.Error(), variable+" cannot be used: ") {
			t.Errorf("%q: %q, %v", named, found, err)
		}
	}
}

func TestNeitherIsAnErrorThatNamesBoth(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edge.sock")
	complain := func(about string) {
		t.Helper()
		_, err := endpoint("", file)
		if err == nil || !strings.Contains(err.Error(), variable+" is not set, and "+about+": set the variable") {
			t.Error(err)
		}
	}
	complain("there is no socket " + file)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	complain(file + " is not a socket")
}
