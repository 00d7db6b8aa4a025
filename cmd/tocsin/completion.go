package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"One of ${enum}."`
}

// Help gives an example.
func (completionCmd) Help() string {
	return `Examples:
  source <(tocsin completion bash)
  tocsin completion zsh > "$HOME/.zfunc/_tocsin"
  tocsin completion fish > ~/.config/fish/completions/tocsin.fish`
}

// The scripts hand the words so far to the program itself, so they never lag
// behind its commands. Where it has nothing to offer, files are.
const (
	bashCompletion = `_tocsin() {
  local IFS=$'\n'
  COMPREPLY=($(tocsin __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _tocsin tocsin
`
	zshCompletion = `#compdef tocsin
_tocsin() {
  local -a candidates
  candidates=("${(@f)$(tocsin __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=(${candidates:#})
  if (( ${#candidates} )); then
    compadd -- "${candidates[@]}"
  else
    _files
  fi
}
if [ "$funcstack[1]" = "_tocsin" ]; then
  _tocsin "$@"
else
  compdef _tocsin tocsin
fi
`
	fishCompletion = `function __tocsin_complete
  set -l words (commandline -opc) (commandline -ct)
  tocsin __complete -- $words[2..-1] 2>/dev/null
end
complete -c tocsin -a '(__tocsin_complete)'
`
)

// Run prints a script.
func (c *completionCmd) Run(p *program) error {
	_, err := fmt.Fprint(p.stdout, map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell])
	return err
}

type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"Words of the command line; the last is being typed."`
}

// Help gives an example.
func (completeCmd) Help() string {
	return `Example:
  tocsin __complete -- audit ve`
}

// Run prints what may stand in place of the last word, a line each.
func (c *completeCmd) Run(p *program, ctx *kong.Context) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, s := range candidates(ctx.Model.Node, words) {
		fmt.Fprintln(p.stdout, s)
	}
	return nil
}

// candidates walks down the commands and gives those, or the flags or values of
// the last one, that begin with the last word.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	var flag *kong.Flag // whose value comes next
	for _, w := range words[:len(words)-1] {
		if flag != nil {
			flag = nil
			continue
		}
		if strings.HasPrefix(w, "-") {
			flag = valueFlag(node, w)
			continue
		}
		for _, child := range node.Children {
			if child.Name == w {
				node = child
				break
			}
		}
	}
	return matching(last, offers(node, flag, last))
}

// valueFlag gives the flag that the word is, if its value is the next word.
func valueFlag(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			if word == "--"+f.Name && !f.IsBool() {
				return f
			}
		}
	}
	return nil
}

func offers(node *kong.Node, flag *kong.Flag, last string) []string {
	var all []string
	switch {
	case flag != nil:
		return enumOf(flag.Value)
	case strings.HasPrefix(last, "-"):
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				all = append(all, "--"+f.Name)
			}
		}
		return all
	}
	for _, child := range node.Children {
		if !child.Hidden {
			all = append(all, child.Name)
		}
	}
	for _, arg := range node.Positional {
		all = append(all, enumOf(arg)...)
	}
	return all
}

func enumOf(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return strings.Split(v.Enum, ",")
}

func matching(prefix string, all []string) []string {
	var out []string
	for _, s := range all {
		if s != "" && strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}
