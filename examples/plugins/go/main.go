// Words is a plugin on GatewayD's SDK: it refuses statements in which a forbidden word stands, and
// counts them. The words are in FORBIDDEN, with commas between them.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/gatewayd-io/gatewayd-plugin-sdk/config"
	"github.com/gatewayd-io/gatewayd-plugin-sdk/logging"
	"github.com/gatewayd-io/gatewayd-plugin-sdk/metrics"
	sdk "github.com/gatewayd-io/gatewayd-plugin-sdk/plugin"
	v1 "github.com/gatewayd-io/gatewayd-plugin-sdk/plugin/v1"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc"
)

const name = "words-go"

var refused = promauto.NewCounter(prometheus.CounterOpts{
	Namespace: metrics.Namespace,
	Name:      "words_refused_total",
	Help:      "Statements refused because of a word.",
})

type words struct {
	goplugin.NetRPCUnsupportedPlugin
	// The hooks that are not listed below stay without a body: nobody calls them.
	v1.GatewayDPluginServiceServer
	log       hclog.Logger
	settings  map[string]any
	forbidden []string
}

// GRPCServer is called by go-plugin before it listens.
func (w *words) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	v1.RegisterGatewayDPluginServiceServer(server, w)
	return nil
}

// GRPCClient is the other side's.
func (w *words) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("%s is a plugin, not a gateway", name)
}

// GetPluginConfig says what this plugin is, and by which hooks it wants to be called.
func (w *words) GetPluginConfig(context.Context, *v1.Struct) (*v1.Struct, error) {
	return v1.NewStruct(map[string]any{
		"id":          map[string]any{"name": name, "version": "0.1.0", "remoteUrl": ""},
		"description": "Refuses statements with a forbidden word",
		"authors":     []any{"Postern"},
		"license":     "Apache-2.0",
		"config":      w.settings,
		"hooks":       []any{int32(v1.HookName_HOOK_NAME_ON_TRAFFIC_FROM_CLIENT)},
		"requires":    []any{},
	})
}

// OnTrafficFromClient is given whole messages; only the first one is a statement.
func (w *words) OnTrafficFromClient(_ context.Context, params *v1.Struct) (*v1.Struct, error) {
	statement := statementIn(params.Fields["request"].GetBytesValue())
	for _, word := range w.forbidden {
		if !strings.Contains(strings.ToLower(statement), word) {
			continue
		}
		refused.Inc()
		w.log.Warn("refused a statement", "word", word)
		signals, err := v1.NewList([]any{
			map[string]any{"name": "terminate", "metadata": map[string]any{"terminate": true}},
		})
		if err != nil {
			return nil, err
		}
		params.Fields["__signals__"] = v1.NewListValue(signals)
		break
	}
	return params, nil
}

// statementIn is the SQL of a Query, or of a Parse, which has the name of the statement before it.
func statementIn(request []byte) string {
	if len(request) < 5 || (request[0] != 'Q' && request[0] != 'P') {
		return ""
	}
	texts := bytes.SplitN(request[5:], []byte{0}, 3)
	if request[0] == 'P' && len(texts) > 1 {
		return string(texts[1])
	}
	return string(texts[0])
}

func main() {
	log := hclog.New(&hclog.LoggerOptions{
		Name:       name,
		Level:      logging.GetLogLevel(config.GetEnv("LOG_LEVEL", "info")),
		Output:     os.Stderr,
		JSONFormat: true,
	})
	plugin := &words{
		log: log,
		settings: map[string]any{
			"metricsEnabled":          config.GetEnv("METRICS_ENABLED", "true"),
			"metricsUnixDomainSocket": config.GetEnv("METRICS_UNIX_DOMAIN_SOCKET", "/tmp/"+name+".sock"),
			"metricsEndpoint":         config.GetEnv("METRICS_ENDPOINT", "/metrics"),
		},
		forbidden: strings.Split(strings.ToLower(config.GetEnv("FORBIDDEN", "truncate")), ","),
	}
	if served := metrics.NewMetricsConfig(plugin.settings); served != nil && served.Enabled {
		go metrics.ExposeMetrics(served, log)
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   os.Getenv("MAGIC_COOKIE_KEY"),
			MagicCookieValue: os.Getenv("MAGIC_COOKIE_VALUE"),
		},
		Plugins:    goplugin.PluginSet{name: plugin},
		GRPCServer: sdk.DefaultGRPCServer,
		Logger:     log,
	})
}
