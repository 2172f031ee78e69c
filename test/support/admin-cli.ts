/** A program of just the commands that speak to the admin API, for tests to run. */
import { Command } from 'commander'
import { backendsCommand } from '../../src/cli/backends.ts'
import { purgeCommand } from '../../src/cli/purge.ts'

// As in the whole program, which has a --version of its own.
const program = new Command('infergate').version('0.0.0', '-v, --version').enablePositionalOptions()
await program.addCommand(backendsCommand()).addCommand(purgeCommand()).parseAsync()
