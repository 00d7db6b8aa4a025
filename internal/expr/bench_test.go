package expr

import "testing"

func BenchmarkTest(b *testing.B) {
	for _, c := range []struct{ name, source string }{
		{"three terms", `alert.severity in ["critical", "high"] && alert.type == "sql_injection" && alert.asset.tags.env == "prod"`},
		{"number", `alert.severity_num >= 73`},
		{"loop", `alert.sources.exists(s, s == "vigilare")`},
		{"payload", `alert.payload.rule.id == 941100`},
	} {
		p, err := Compile(Condition, c.source)
		if err != nil {
			b.Fatal(err)
		}
		ev := sample()
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v := Vars{Event: ev}
				if ok, err := p.Test(&v); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
