// The server of InfluxDB 2 as a program of our own, for tests: its launcher without the page, the upgrade and the inspection
// tools. `go install` of the original is refused because its go.mod holds replace lines.
package main

import (
	"context"
	"fmt"
	"os"

	influxdb "github.com/influxdata/influxdb/v2"
	"github.com/influxdata/influxdb/v2/cmd/influxd/launcher"
	// the storage engine and its index register themselves
	_ "github.com/influxdata/influxdb/v2/tsdb/engine/tsm1"
	_ "github.com/influxdata/influxdb/v2/tsdb/index/tsi1"
	"github.com/spf13/viper"
)

// Set by the linker.
var version = "dev"

func main() {
	influxdb.SetBuildInfo(version, "none", "unknown")
	command, err := launcher.NewInfluxdCommand(context.Background(), viper.New())
	if err == nil {
		command.Version = version // for influxd --version
		err = command.Execute()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
