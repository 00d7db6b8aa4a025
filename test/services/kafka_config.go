package services

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

const kafkaCluster = "tocsinAAAAAAAAAAAAAAAA"

// scramMechanisms are the mechanisms that a user's password is stored for.
var scramMechanisms = []string{"SCRAM-SHA-256", "SCRAM-SHA-512"}

// kafkaLayout is the part of the configuration that a formatted data folder
// depends on.
const kafkaLayout = "node 1, both roles, quorum by configuration, " + kafkaCluster

// kafkaBase is what every broker has.
var kafkaBase = map[string]string{
	"process.roles": "broker,controller",
	"node.id":       "1",

	"controller.listener.names":      "CONTROLLER",
	"inter.broker.listener.name":     "PLAIN",
	"listener.security.protocol.map": "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL",

	// A topic that nobody made is a mistake that should show.
	"auto.create.topics.enable":  "false",
	"default.replication.factor": "1",
	"min.insync.replicas":        "1",

	// Kafka's own topics: one broker can hold one copy, and fifty partitions each
	// would only take time.
	"offsets.topic.replication.factor":                 "1",
	"offsets.topic.num.partitions":                     "4",
	"transaction.state.log.replication.factor":         "1",
	"transaction.state.log.min.isr":                    "1",
	"transaction.state.log.num.partitions":             "4",
	"share.coordinator.state.topic.replication.factor": "1",
	"share.coordinator.state.topic.min.isr":            "1",
	"share.coordinator.state.topic.num.partitions":     "4",

	// A new group gets its partitions at once, not after three seconds.
	"group.initial.rebalance.delay.ms": "0",

	// A broker that was killed may come back when its session has ended. Nine
	// seconds is Kafka's own; much less, and a busy machine ends it unasked.
	"broker.session.timeout.ms":    "3000",
	"broker.heartbeat.interval.ms": "500",

	// Threads and buffers for two processors.
	"num.network.threads":             "2",
	"num.io.threads":                  "4",
	"background.threads":              "2",
	"log.cleaner.threads":             "1",
	"log.cleaner.dedupe.buffer.size":  "16777216",
	"log.segment.bytes":               "67108864",
	"controlled.shutdown.max.retries": "1",
}

// kafkaLog prints to standard output, without the hundreds of lines in which
// Kafka repeats its configuration.
const kafkaLog = `rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
logger.config.name=org.apache.kafka.common.config
logger.config.level=warn
`

// configure writes the broker's files.
func (k *KafkaServer) configure(o KafkaOptions) error {
	settings := maps.Clone(kafkaBase)
	settings["log.dirs"] = k.file("data")
	settings["controller.quorum.voters"] = "1@" + localhost(k.ports[controller])
	on := []string{k.at("PLAIN", Plain), k.at("CONTROLLER", controller)}
	if o.TLS {
		on = append(on, k.at("TLS", TLS))
		if err := k.certify(settings); err != nil {
			return err
		}
	}
	if len(o.Users) > 0 {
		on = append(on, k.at("SASL", SASL))
		authenticate(settings, "sasl", o.Users)
		if o.TLS {
			on = append(on, k.at("SASLTLS", SASLTLS))
			authenticate(settings, "sasltls", o.Users)
		}
	}
	settings["listeners"] = strings.Join(on, ",")
	maps.Copy(settings, o.Settings)
	if err := os.WriteFile(k.file("log4j2.properties"), []byte(kafkaLog), 0o644); err != nil {
		return err
	}
	return os.WriteFile(k.file("server.properties"), []byte(properties(settings)), 0o600)
}

func (k *KafkaServer) at(name string, l Listener) string {
	return name + "://" + localhost(k.ports[l])
}

// certify gives the broker a certificate.
func (k *KafkaServer) certify(settings map[string]string) error {
	c, err := newCertificate()
	if err != nil {
		return err
	}
	k.ca = c.ca
	settings["ssl.keystore.type"] = "PEM"
	settings["ssl.keystore.key"] = string(c.key)
	settings["ssl.keystore.certificate.chain"] = string(c.chain)
	return nil
}

// authenticate lets users in at a listener by PLAIN, for which it holds their
// passwords, and by SCRAM, for which the data folder holds what is derived from
// them.
func authenticate(settings map[string]string, listener string, users map[string]string) {
	var plain strings.Builder
	plain.WriteString("org.apache.kafka.common.security.plain.PlainLoginModule required")
	for _, user := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&plain, " user_%s=%s", user, strconv.Quote(users[user]))
	}
	prefix := "listener.name." + listener + "."
	settings[prefix+"plain.sasl.jaas.config"] = plain.String() + ";"
	for _, mechanism := range scramMechanisms {
		settings[prefix+strings.ToLower(mechanism)+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	settings[prefix+"sasl.enabled.mechanisms"] = "PLAIN," + strings.Join(scramMechanisms, ",")
}

// properties writes settings as Java reads them.
func properties(settings map[string]string) string {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s=%s\n", key, escape.Replace(settings[key]))
	}
	return b.String()
}
