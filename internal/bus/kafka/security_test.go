package kafka_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/bus/kafka"
	"github.com/tocsin/tocsin/internal/secret"
	"github.com/tocsin/tocsin/test/services"
)

func TestSecurity(t *testing.T) {
	k := services.Kafka(t, services.KafkaOptions{
		TLS: true, Users: map[string]string{"hub": "secret"},
		Settings: map[string]string{"group.min.session.timeout.ms": "7000"}, // more than the hub asks for at first
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, k.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	good, bad := secret.New("secret"), secret.New("wrong")
	for _, c := range []struct {
		name string
		at   services.Listener
		s    kafka.Security
		want hub.Kind
	}{
		{"TLS", services.TLS, kafka.Security{TLS: true, CAFile: ca}, ""},
		{"TLS of an unknown authority", services.TLS, kafka.Security{TLS: true}, hub.Forbidden},
		{"TLS unchecked", services.TLS, kafka.Security{TLS: true, SkipVerify: true}, ""},
		{"TLS not spoken", services.TLS, kafka.Security{}, hub.Transient},
		{"PLAIN", services.SASL, kafka.Security{SASL: "plain", Username: "hub", Password: good}, ""},
		{"PLAIN over TLS", services.SASLTLS, kafka.Security{TLS: true, CAFile: ca, SASL: "plain", Username: "hub", Password: good}, ""},
		{"SCRAM-SHA-256", services.SASL, kafka.Security{SASL: "scram-sha-256", Username: "hub", Password: good}, ""},
		{"SCRAM-SHA-512 over TLS", services.SASLTLS, kafka.Security{TLS: true, CAFile: ca, SASL: "scram-sha-512", Username: "hub", Password: good}, ""},
		{"PLAIN with a wrong password", services.SASL, kafka.Security{SASL: "plain", Username: "hub", Password: bad}, hub.Forbidden},
		{"SCRAM with a wrong password", services.SASL, kafka.Security{SASL: "scram-sha-256", Username: "hub", Password: bad}, hub.Forbidden},
		{"SCRAM with an unknown user", services.SASL, kafka.Security{SASL: "scram-sha-512", Username: "nobody", Password: good}, hub.Forbidden},
		{"not signed in", services.SASL, kafka.Security{}, hub.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := hubTopics(2)
			o.Brokers, o.Security = k.BrokersAt(c.at), c.s
			if c.want == "" {
				b := openBus(t, o)
				publish(t, b, "k", 0, 1)
				receive(t, subscribe(t, b, kafka.Group{Name: "triage"})).Ack()
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if _, err := kafka.New(ctx, o); hub.KindOf(err) != c.want {
				t.Errorf("got %v, want kind %s", err, c.want)
			}
		})
	}
}
