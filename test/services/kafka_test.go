package services

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const kafkaTopic = "letters"

// leader connects to the topic's only partition.
func leader(t *testing.T, k *KafkaServer, timeout time.Duration) (*kafka.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	c, err := kafka.DialLeader(ctx, "tcp", k.Brokers()[0], kafkaTopic, 0)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(timeout))
}

// send writes a letter, again for as long as the broker asks for that: it may
// not lead the partition yet.
func send(t *testing.T, k *KafkaServer, letter string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := sendOnce(t, k, letter)
		var code kafka.Error
		if err == nil {
			return
		}
		if !errors.As(err, &code) || !code.Temporary() || time.Now().After(deadline) {
			t.Fatalf("send %q: %v", letter, err)
		}
	}
}

func sendOnce(t *testing.T, k *KafkaServer, letter string) error {
	t.Helper()
	c, err := leader(t, k, 20*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WriteMessages(kafka.Message{Value: []byte(letter)})
	return err
}

// received is all letters, by the topic's order.
func received(t *testing.T, k *KafkaServer) (all string) {
	t.Helper()
	c, err := leader(t, k, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	last, err := c.ReadLastOffset()
	if err != nil {
		t.Fatal(err)
	}
	for int64(len(all)) < last {
		m, err := c.ReadMessage(100)
		if err != nil {
			t.Fatalf("read after %q: %v", all, err)
		}
		all += string(m.Value)
	}
	return all
}

func makeTopic(t *testing.T, k *KafkaServer) {
	t.Helper()
	c, err := kafka.DialContext(t.Context(), "tcp", k.Brokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if found, err := c.ReadPartitions(kafkaTopic); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("the topic is there before it was made: %v, error %v, want %v", found, err, kafka.UnknownTopicOrPartition)
	}
	if err := c.CreateTopics(kafka.TopicConfig{Topic: kafkaTopic, NumPartitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
}

// What the broker acknowledged survives a stop, a kill and a pause, at the same
// address.
func TestKafkaKeepsItsData(t *testing.T) {
	needsTime(t)
	t.Parallel()
	k := Kafka(t, KafkaOptions{})
	makeTopic(t, k)
	send(t, k, "a")
	k.Stop(t)
	if _, err := leader(t, k, time.Second); err == nil {
		t.Error("a stopped broker answers")
	}
	k.Start(t)
	send(t, k, "b")
	k.Kill(t)
	k.Start(t)
	send(t, k, "c")
	k.Pause(t)
	if _, err := leader(t, k, 300*time.Millisecond); err == nil {
		t.Error("a paused broker answers")
	}
	k.Resume(t)
	if got := received(t, k); got != "abc" {
		t.Errorf("received %q, want abc", got)
	}
}

// Each listener lets in whom it should and nobody else.
func TestKafkaListeners(t *testing.T) {
	needsTime(t)
	t.Parallel()
	const password = `pass "word" \ with quotes`
	k := Kafka(t, KafkaOptions{TLS: true, Users: map[string]string{"hub": password}})
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(k.CA()) {
		t.Fatalf("this is no certificate: %s", k.CA())
	}
	withTLS := &tls.Config{RootCAs: trusted}
	for _, c := range []struct {
		name     string
		listener Listener
		tls      *tls.Config
		login    func(password string) sasl.Mechanism
	}{
		{"TLS", TLS, withTLS, nil},
		{"PLAIN", SASL, nil, byPlain},
		{"SCRAM-SHA-256", SASL, nil, byScram(scram.SHA256)},
		{"SCRAM-SHA-512", SASL, nil, byScram(scram.SHA512)},
		{"PLAIN over TLS", SASLTLS, withTLS, byPlain},
		{"SCRAM-SHA-512 over TLS", SASLTLS, withTLS, byScram(scram.SHA512)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.login == nil {
				c.login = func(string) sasl.Mechanism { return nil }
			}
			address := k.BrokersAt(c.listener)[0]
			if err := brokers(t, address, c.tls, c.login(password)); err != nil {
				t.Errorf("with everything right: %v", err)
			}
			if c.login("") != nil && brokers(t, address, c.tls, c.login("wrong")) == nil {
				t.Error("a wrong password is taken")
			}
			if c.tls != nil && brokers(t, address, &tls.Config{RootCAs: x509.NewCertPool()}, c.login(password)) == nil {
				t.Error("its certificate is signed by somebody known")
			}
		})
	}
}

func byPlain(password string) sasl.Mechanism {
	return plain.Mechanism{Username: "hub", Password: password}
}

func byScram(a scram.Algorithm) func(string) sasl.Mechanism {
	return func(password string) sasl.Mechanism {
		m, err := scram.Mechanism(a, "hub", password)
		if err != nil {
			panic(err)
		}
		return m
	}
}

// brokers asks an address for the brokers of the cluster. It is told the address
// that it asked.
func brokers(t *testing.T, address string, c *tls.Config, login sasl.Mechanism) error {
	t.Helper()
	d := &kafka.Dialer{Timeout: 10 * time.Second, TLS: c, SASLMechanism: login}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	found, err := conn.Brokers()
	if err != nil {
		return err
	}
	if len(found) != 1 || localhost(found[0].Port) != address {
		return fmt.Errorf("got the brokers %v, want only %s", found, address)
	}
	return nil
}

// The tests of a process share one broker, which one of them may stop.
func TestSharedKafka(t *testing.T) {
	needsTime(t)
	var first *KafkaServer
	t.Run("stops it", func(t *testing.T) {
		first = SharedKafka(t)
		first.Kill(t)
	})
	k := SharedKafka(t)
	if k != first {
		t.Error("there are two brokers, want one shared")
	}
	if err := brokers(t, k.Brokers()[0], nil, nil); err != nil {
		t.Error(err)
	}
}
