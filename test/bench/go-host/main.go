// Host starts a plugin as GatewayD would, by HashiCorp's library with mutual TLS, and calls its
// OnTrafficFromClient as it is told on standard input: one JSON object a line, one answer a line.
// It is what the gateway's own calls are compared with.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	v1 "github.com/gatewayd-io/gatewayd-plugin-sdk/plugin/v1"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const (
	cookieKey   = "GATEWAYD_PLUGIN"
	cookieValue = "5712b87aa5d7e9f9e9ab643e6603181c5b796015cb1c09d6f5ada882bf2a1872"
	callTimeout = 30 * time.Second
)

// order is one measurement: calls of so many bytes, so many of them in flight, for so long.
type order struct {
	Bytes    int     `json:"bytes"`
	InFlight int     `json:"inFlight"`
	Seconds  float64 `json:"seconds"`
}

type report struct {
	Calls        int     `json:"calls"`
	Seconds      float64 `json:"seconds"`
	MedianMicros float64 `json:"medianMicros"`
}

type hosted struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (hosted) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is a host, not a plugin")
}

func (hosted) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, connection *grpc.ClientConn) (any, error) {
	return v1.NewGatewayDPluginServiceClient(connection), nil
}

// call is one hook call with all that a host does for it: a Struct made of plain values, sent,
// and its answer made plain values again.
func call(plugin v1.GatewayDPluginServiceClient, payload []byte) error {
	params, err := v1.NewStruct(map[string]any{
		"client":  map[string]any{"local": "127.0.0.1:15432", "remote": "127.0.0.1:50001"},
		"server":  map[string]any{"local": "127.0.0.1:50002", "remote": "127.0.0.1:5432"},
		"error":   "",
		"request": payload,
	})
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	result, err := plugin.OnTrafficFromClient(limited, params)
	if err != nil {
		return err
	}
	request, ok := result.AsMap()["request"].([]byte)
	if !ok || len(request) != len(payload) {
		return errors.New("the plugin did not return the request")
	}
	return nil
}

func measure(plugin v1.GatewayDPluginServiceClient, wanted order) (report, error) {
	payload := slices.Repeat([]byte("x"), wanted.Bytes)
	taken := make([][]float64, wanted.InFlight)
	failures := make([]error, wanted.InFlight)
	startedAt := time.Now()
	end := startedAt.Add(time.Duration(wanted.Seconds * float64(time.Second)))
	var all sync.WaitGroup
	for one := range wanted.InFlight {
		all.Add(1)
		go func() {
			defer all.Done()
			for begin := time.Now(); begin.Before(end); {
				if failures[one] = call(plugin, payload); failures[one] != nil {
					return
				}
				now := time.Now()
				taken[one] = append(taken[one], float64(now.Sub(begin).Nanoseconds())/1000)
				begin = now
			}
		}()
	}
	all.Wait()
	seconds := time.Since(startedAt).Seconds()
	micros := slices.Concat(taken...)
	slices.Sort(micros)
	if len(micros) == 0 {
		return report{}, errors.Join(failures...)
	}
	return report{len(micros), seconds, micros[len(micros)/2]}, errors.Join(failures...)
}

func serve(path string) error {
	command := exec.Command(path)
	command.Env = append(os.Environ(), "MAGIC_COOKIE_KEY="+cookieKey, "MAGIC_COOKIE_VALUE="+cookieValue)
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   cookieKey,
			MagicCookieValue: cookieValue,
		},
		Plugins:          goplugin.PluginSet{"plugin": hosted{}},
		Cmd:              command,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		Logger:           hclog.NewNullLogger(),
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(math.MaxInt32),
			grpc.MaxCallSendMsgSize(math.MaxInt32),
		)},
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	dispensed, err := protocol.Dispense("plugin")
	if err != nil {
		return err
	}
	plugin, ok := dispensed.(v1.GatewayDPluginServiceClient)
	if !ok {
		return errors.New("the plugin is of another kind")
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]int{"pluginPid": command.Process.Pid}); err != nil {
		return err
	}
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		var wanted order
		if err := json.Unmarshal(orders.Bytes(), &wanted); err != nil {
			return err
		}
		found, err := measure(plugin, wanted)
		if err != nil {
			return err
		}
		if err := out.Encode(found); err != nil {
			return err
		}
	}
	return orders.Err()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: host PLUGIN")
		os.Exit(2)
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "host:", err)
		os.Exit(1)
	}
}
