// Answers whether tenants may use modules: go run . 127.0.0.1:50051, then lines of a tenant's id and a module's code.
// Without an address the environment says where the server is: see entitlements.Endpoint.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"example.com/erp/entitlements"
	pb "example.com/erp/gen/entitlement/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// A question that meets no server is asked again, within its deadline.
const retries = `{"methodConfig": [{
	"name": [{"service": "entitlement.v1.EntitlementService"}],
	"retryPolicy": {
		"maxAttempts": 5, "initialBackoff": "0.05s", "maxBackoff": "0.4s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

func dial(address string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	pauses := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second}
	return grpc.NewClient(address, append(more,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retries),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pauses, MinConnectTimeout: time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	)...)
}

func main() {
	if len(os.Args) > 2 {
		log.Fatal("usage: go run . [HOST:PORT | unix:/PATH]")
	}
	address, err := "", error(nil)
	if len(os.Args) == 2 {
		address = os.Args[1]
	} else if address, err = entitlements.Endpoint(); err != nil {
		log.Fatal(err)
	}
	connection, err := dial(address)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	rule := entitlements.Rule{Stale: time.Hour}
	client := entitlements.New(pb.NewEntitlementServiceClient(connection), rule, time.Now)
	go client.Watch(context.Background())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var tenant, module string
		if _, err := fmt.Sscan(lines.Text(), &tenant, &module); err != nil {
			log.Print("a line has a tenant's id and a module's code")
			continue
		}
		answer, err := client.Check(context.Background(), tenant, module, 0)
		if err != nil {
			log.Print(err)
			continue
		}
		fmt.Printf("allowed=%t by_rule=%t %s\n", answer.Allowed, answer.ByRule, answer.Message)
	}
}
