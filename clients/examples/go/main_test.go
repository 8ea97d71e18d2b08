package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/erp/entitlements"
	pb "example.com/erp/gen/entitlement/v1"
	"github.com/open-feature/go-sdk/openfeature"
	"google.golang.org/grpc"
)

const patience = 20 * time.Second

// entitlementd is the real server, on a database of its own.
type entitlementd struct {
	t        *testing.T
	program  string
	database string
	address  string
	process  *exec.Cmd
}

func newServer(t *testing.T) *entitlementd {
	program := os.Getenv("ENTITLEMENTD_BIN")
	if program == "" {
		program, _ = filepath.Abs("../../../target/debug/entitlementd")
	}
	database := "sqlite:" + filepath.Join(t.TempDir(), "erp.db") + "?mode=rwc"
	server := &entitlementd{t: t, program: program, database: database, address: "127.0.0.1:0"}
	server.run("migrate")
	t.Cleanup(server.kill)
	return server
}

// run runs a command of the program on the database, and gives what it prints.
func (s *entitlementd) run(arguments ...string) string {
	s.t.Helper()
	command := exec.Command(s.program, append(arguments, "--database-url", s.database)...)
	said, err := command.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, said)
	}
	return string(said)
}

var (
	addressLogged = regexp.MustCompile(`"address":"([^"]+)"`)
	anID          = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
)

// start returns once the server is ready. It has the address that it had before.
func (s *entitlementd) start() {
	s.t.Helper()
	s.process = exec.Command(s.program, "serve", "--listen", s.address, "--database-url", s.database,
		"--log-format", "json", "--poll-interval", "20ms")
	log, err := s.process.StderrPipe()
	if err == nil {
		err = s.process.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if found := addressLogged.FindStringSubmatch(lines.Text()); found != nil {
			s.address = found[1]
		}
		if strings.Contains(lines.Text(), `"ready"`) {
			return
		}
	}
	s.t.Fatal("it ended before it was ready")
}

func (s *entitlementd) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

// until asks until it is so: news travels by itself.
func until(t *testing.T, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !isSo(); {
		if time.Now().After(deadline) {
			t.Fatal("it never was so")
		}
	}
}

func counting(asked *atomic.Int64) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, over *grpc.ClientConn, call grpc.UnaryInvoker,
		options ...grpc.CallOption,
	) error {
		asked.Add(1)
		return call(ctx, method, request, reply, over, options...)
	}
}

// onboard brings in a tenant that has finance.
func (s *entitlementd) onboard() (tenant string) {
	s.t.Helper()
	s.run("tenant", "onboard", "acme", "--name", "Acme", "--module", "finance")
	return anID.FindString(s.run("tenant", "show", "acme"))
}

// watching is a client that listens for changes.
func (s *entitlementd) watching(options ...grpc.DialOption) *entitlements.Client {
	s.t.Helper()
	connection, err := dial(s.address, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	client := entitlements.New(pb.NewEntitlementServiceClient(connection), entitlements.Rule{Stale: time.Hour}, time.Now)
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(func() {
		cancel()
		connection.Close()
	})
	go client.Watch(ctx)
	return client
}

func TestAChangeIsHeardOfAndAnOutageIsAnsweredByTheRule(t *testing.T) {
	server := newServer(t)
	tenant := server.onboard()
	server.start()
	var asked atomic.Int64
	client, ctx := server.watching(grpc.WithUnaryInterceptor(counting(&asked))), context.Background()
	check := func(module string) entitlements.Answer {
		answer, err := client.Check(ctx, strings.ToUpper(tenant), module, 0)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	isHeld := func() bool {
		before := asked.Load()
		return check("finance").Allowed && asked.Load() == before
	}

	until(t, isHeld)
	denied := check("hrms")
	if denied.Reason != pb.DecisionReason_DECISION_REASON_NOT_SUBSCRIBED || denied.Message == "" {
		t.Fatal(denied)
	}
	server.run("tenant", "disable", "acme", "finance")
	until(t, func() bool { return !check("finance").Allowed })
	server.run("tenant", "enable", "acme", "finance")
	until(t, isHeld)

	server.kill()
	until(t, func() bool { return check("crm_service").ByRule })
	if answer := check("finance"); !answer.Allowed {
		t.Fatal(answer)
	}
	server.start()
	until(t, func() bool {
		return !check("crm_service").ByRule && check("finance").Allowed && !check("finance").ByRule
	})
	if _, err := client.Check(ctx, "nobody", "finance", 0); err == nil {
		t.Fatal("what is no id is refused")
	}
}

func TestAServersSocketIsAskedWhereTheVariableNamesIt(t *testing.T) {
	server := newServer(t)
	tenant := server.onboard()
	server.address = "unix:" + filepath.Join(t.TempDir(), "edge.sock")
	server.start()
	t.Setenv("ENTITLEMENTD_ENDPOINT", server.address)
	found, err := entitlements.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	server.address = found
	answer, err := server.watching().Check(context.Background(), tenant, "finance", 0)
	if err != nil || !answer.Allowed || answer.ByRule {
		t.Fatal(answer, err)
	}
}

func TestOpenFeatureHearsOfAChangeAndIsStaleWhileTheServerIsGone(t *testing.T) {
	server := newServer(t)
	server.run("feature", "define", "finance", "multi_currency", "--name", "Multiple currencies", "--value-type", "int64")
	of := openfeature.NewEvaluationContext(server.onboard(), nil)
	flag := func(value string) {
		server.run("tenant", "set-flag", "acme", "finance", "multi_currency", "on", "--value", value)
	}
	flag("3")
	server.start()
	if err := openfeature.SetProviderAndWait(entitlements.NewProvider(server.watching())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(openfeature.Shutdown)
	sdk, ctx := openfeature.NewDefaultClient(), context.Background()
	said := func() openfeature.IntEvaluationDetails {
		details, err := sdk.IntValueDetails(ctx, "finance/multi_currency", 1, of)
		if err != nil {
			t.Fatal(err)
		}
		return details
	}

	until(t, func() bool { return sdk.State() == openfeature.ReadyState })
	if details := said(); details.Value != 3 || details.Reason != openfeature.TargetingMatchReason {
		t.Fatal(details)
	}
	flag("5")
	until(t, func() bool { return said().Value == 5 })
	if sdk.Boolean(ctx, "finance/teleport", true, of) || sdk.Boolean(ctx, "hrms/payroll", true, of) {
		t.Fatal("neither is on")
	}

	server.kill()
	until(t, func() bool { return sdk.State() == openfeature.StaleState })
	if !sdk.Boolean(ctx, "finance/multi_currency", false, of) || said().Value != 5 {
		t.Fatal("what is held goes on")
	}
	server.start()
	until(t, func() bool { return sdk.State() == openfeature.ReadyState })
}
