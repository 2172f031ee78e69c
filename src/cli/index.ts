/** The command line: one file a command, and one place that turns failures into exit codes. */
import { Command, CommanderError } from 'commander'
import { backendsCommand } from './backends.ts'
import { benchCommand } from './bench.ts'
import { checkCommand } from './check.ts'
import { explainCommand } from './explain.ts'
import { modelServerCommand } from './model-server.ts'
import { purgeCommand } from './purge.ts'
import { scaleCommand } from './scale.ts'
import { serveCommand } from './serve.ts'
import { UserError } from './user-error.ts'
import { ownVersion } from './version.ts'

const HELP = `
Examples:
  $ infergate serve                                      an embedded model, nothing else needed
  $ infergate serve --upstream http://127.0.0.1:8501     a cache in front of a model server you have
  $ infergate serve --config infergate.yaml              routes, pools and tiers from YAML
  $ infergate check infergate.yaml                       what the YAML means, or what is wrong with it

Exit codes: 0 fine; 1 a mistake in the command or its input; 2 a fault of infergate.`

/** Runs one command; sets the exit code and never throws. */
export async function run(argv: readonly string[]): Promise<void> {
  // Whoever reads through `head` has read enough: that is no fault.
  process.stdout.on('error', () => {})
  const program = new Command('infergate')
    .description(
      'A caching inference gateway: caches predictions, balances misses over model servers, and scales them.',
    )
    .version(ownVersion(), '-v, --version')
    .addHelpText('after', HELP)
    // `infergate purge --version 3` must not print the program's version.
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError()
  for (const command of [
    serveCommand(),
    checkCommand(),
    explainCommand(),
    backendsCommand(),
    purgeCommand(),
    scaleCommand(),
    modelServerCommand(),
    benchCommand(),
  ])
    program.addCommand(contained(command))
  try {
    await program.parseAsync([...argv])
  } catch (error) {
    fail(error)
  }
}

/** Errors of a command and of all below it come back to `run` instead of ending the process. */
function contained(command: Command): Command {
  for (const below of command.commands) contained(below)
  return command.exitOverride().showHelpAfterError('(--help shows the options)')
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // Help and version arrive here as well, with 0.
    process.exitCode = error.exitCode === 0 ? 0 : 1
  } else if (error instanceof UserError) {
    process.stderr.write(`infergate: ${error.message}\n`)
    process.exitCode = 1
  } else {
    process.stderr.write(
      `infergate: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    process.exitCode = 2
  }
}
