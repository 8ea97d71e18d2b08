package entitlements

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	variable = "ENTITLEMENTD_ENDPOINT"
	// Where an instance on the same machine listens, or in the same pod.
	edgeSocket = "/run/entitlementd/edge.sock"
)

// Endpoint is where the server is when the code does not say: what the variable ENTITLEMENTD_ENDPOINT names, host:port
// or unix:/path; where that is not set, or empty, the socket /run/entitlementd/edge.sock, if it is there. An edge may
// start after the service: set the variable to unix:/run/entitlementd/edge.sock where it may.
func Endpoint() (string, error) { return endpoint(os.Getenv(variable), edgeSocket) }

func endpoint(named, socket string) (string, error) {
	if named = strings.TrimSpace(named); named != "" {
		if strings.Contains(named, ",") || strings.Contains(named, "://") && !strings.HasPrefix(named, "unix:") {
			return "", fmt.Errorf("%s cannot be used: expected one host:port or unix:/path, and found %q", variable, named)
		}
		return named, nil
	}
	found, err := os.Stat(socket)
	switch {
	case err == nil && found.Mode().Type() == os.ModeSocket:
		return "unix:" + socket, nil
	case err == nil:
		err = fmt.Errorf("%s is not a socket", socket)
	case errors.Is(err, os.ErrNotExist):
		err = fmt.Errorf("there is no socket %s", socket)
	}
	return "", fmt.Errorf("nothing says where entitlementd is: %s is not set, and %w: set the variable to host:port or "+
		"unix:/path, run an edge that listens there, or name the endpoint in the code", variable, err)
}
