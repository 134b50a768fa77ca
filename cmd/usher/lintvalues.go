package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	chart "github.com/usher-ingress/usher/charts/usher"
	"sigs.k8s.io/yaml"
)

// valueFinding is what becomes of a value of the chart.
type valueFinding struct {
	Outcome string `json:"outcome"` // ignored, refused or info
	Key     string `json:"key"`
	Message string `json:"message"`
}

// chartLists are the chart's own lists, which its templates read too.
type chartLists struct {
	old    []oldValue
	own    map[string]string
	config struct {
		Honoured, Ignored, Closing []string
		Needless                   map[string]string
	}
	flags struct {
		Serve   map[string]struct{ Pattern, Want string }
		Adopted []string
	}
}

type oldValue struct {
	Key, Why string
	Quiet    []any
	Refused  bool
}

func readChartLists() (l chartLists, err error) {
	for name, to := range map[string]any{"old-values": &l.old, "own-flags": &l.own, "config-keys": &l.config, "flags": &l.flags} {
		text, err := chart.Files.ReadFile("files/" + name + ".yaml")
		if err == nil {
			err = yaml.Unmarshal(text, to)
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// lintValues says what the chart ignores and refuses of a values file.
func lintValues(file string) ([]valueFinding, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	lists, err := readChartLists()
	if err != nil {
		return nil, err
	}
	found := lists.oldValues(values)
	found = append(found, otherImages(values)...)
	found = append(found, lists.extraArgs(values)...)
	found = append(found, lists.configKeys(values)...)
	found = append(found, shortEnds(values)...)
	if name := at(values, "controller.ingressClassResource.name"); name == nil || name == "" {
		found = append(found, valueFinding{"info", "controller.ingressClassResource.name", "the class is usher; that of ingress-nginx's chart is nginx"})
	}
	return found, nil
}

// shortEnds are times that leave no room for the chart's delay, which then is shorter.
func shortEnds(values map[string]any) []valueFinding {
	const key = "controller.terminationGracePeriodSeconds"
	seconds := func(key string, otherwise float64) float64 {
		if v, ok := at(values, key).(float64); ok {
			return v
		}
		return otherwise
	}
	whole, delay := seconds(key, 300), seconds("controller.shutdownDelay", 20)
	if whole-seconds("controller.lifecycle.preStop.sleep.seconds", 0)-max(1, min(5, math.Floor(whole/5))) > delay || delay == 0 {
		return nil
	}
	return []valueFinding{{"info", key, fmt.Sprintf("%v leaves no room for controller.shutdownDelay %v, which is shortened to fit", whole, delay)}}
}

func (l *chartLists) oldValues(values map[string]any) (found []valueFinding) {
	for _, old := range l.old {
		value, ok := lookup(values, old.Key)
		if !ok || slices.ContainsFunc(old.Quiet, func(quiet any) bool { return isQuiet(quiet, value) }) {
			continue
		}
		outcome := "ignored"
		if old.Refused {
			outcome = "refused"
		}
		found = append(found, valueFinding{outcome, old.Key, old.Why})
	}
	if command, _ := at(values, "controller.lifecycle.preStop.exec.command").([]any); slices.Contains(command, any("/wait-shutdown")) {
		found = append(found, valueFinding{"ignored", "controller.lifecycle.preStop", "Usher waits by itself, for controller.shutdownDelay"})
	}
	return found
}

// isQuiet reports whether a value is this one, or a map in which these fields are so.
func isQuiet(quiet, value any) bool {
	fields, isMap := quiet.(map[string]any)
	if !isMap {
		return reflect.DeepEqual(quiet, value)
	}
	have, ok := value.(map[string]any)
	if !ok || len(fields) == 0 && len(have) > 0 {
		return false
	}
	for key, want := range fields {
		if !reflect.DeepEqual(want, have[key]) && (want != nil || have[key] != "") {
			return false
		}
	}
	return true
}

// otherImages are keys that make the image one that is not Usher's.
func otherImages(values map[string]any) (found []valueFinding) {
	for _, key := range []string{"global.image.registry", "controller.image.registry", "controller.image.image", "controller.image.repository"} {
		if name := scalarText(at(values, key)); foreignImage(name + "/") {
			found = append(found, valueFinding{"refused", key, name + " is not Usher; leave it out, or name an image of Usher"})
		}
	}
	return found
}

func foreignImage(name string) bool {
	return regexp.MustCompile(`(^|/)(registry\.k8s\.io|k8s\.gcr\.io)/|ingress-nginx/controller`).MatchString(name)
}

func (l *chartLists) extraArgs(values map[string]any) (found []valueFinding) {
	adopts := at(values, "controller.ingressClassResource.controllerValue") == nginxController
	args, _ := at(values, "controller.extraArgs").(map[string]any)
	for _, flag := range slices.Sorted(maps.Keys(args)) {
		outcome, message := l.flag(flag, scalarText(args[flag]), adopts)
		if outcome != "" {
			found = append(found, valueFinding{outcome, "controller.extraArgs." + flag, message})
		}
	}
	return found
}

// flag is what becomes of a flag; "" when serve takes it.
func (l *chartLists) flag(flag, text string, adopts bool) (outcome, message string) {
	takes, known := l.flags.Serve[flag]
	switch adopted := slices.Contains(l.flags.Adopted, flag); {
	case l.own[flag] != "":
		return "refused", "set " + l.own[flag] + " instead"
	case adopted && !adopts:
		return "refused", "it is ingress-nginx's, and accepted only with controller.ingressClassResource.controllerValue: " + nginxController
	case adopted:
		return "ignored", "ingress-nginx's; docs/flags.md says what applies"
	case !known:
		return "refused", "usher serve has no such flag (docs/flags.md)"
	case !regexp.MustCompile(takes.Pattern).MatchString(text):
		return "refused", fmt.Sprintf("%q: want %s", text, takes.Want)
	}
	return "", ""
}

func (l *chartLists) configKeys(values map[string]any) (found []valueFinding) {
	config, _ := at(values, "controller.config").(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if config[key] == nil {
			continue
		}
		message := "there is no such key (docs/configmap.md)"
		switch why, needless := l.config.Needless[key]; {
		case slices.Contains(l.config.Honoured, key):
			continue
		case needless:
			message = why
		case slices.Contains(l.config.Closing, key):
			message = "it restricts access and is not honoured by this release, so every path answers 503"
		case slices.Contains(l.config.Ignored, key):
			message = "not honoured by this release"
		}
		found = append(found, valueFinding{"ignored", "controller.config." + key, message})
	}
	return found
}

func at(values map[string]any, path string) any {
	value, _ := lookup(values, path)
	return value
}

func lookup(values map[string]any, path string) (any, bool) {
	var value any = values
	for _, name := range strings.Split(path, ".") {
		fields, _ := value.(map[string]any)
		below, ok := fields[name]
		if !ok {
			return nil, false
		}
		value = below
	}
	return value, true
}

// scalarText is a scalar of YAML as helm would write it; "" for null.
func scalarText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(value)
}
