/**
 * The command line: one file for each command, and one place that maps failures to exit codes. Only the requested
 * command is loaded, since most of a start is loading code.
 */
import { Command, CommanderError } from 'commander'
import { ownVersion } from '../app/version.ts'
import { MissingPackageError } from '../lib/optional-packages.ts'
import { UserError } from './user-error.ts'

const HELP = `
Examples:
  $ infergate serve                                      an embedded model, nothing else needed
  $ infergate serve --upstream http://127.0.0.1:8501     a cache in front of a model server you have
  $ infergate serve --config infergate.yaml              routes, pools and tiers from YAML
  $ infergate init http://127.0.0.1:8501                 writes a commented YAML for servers you have
  $ infergate check infergate.yaml                       what the YAML means, or what is wrong with it

Exit codes: 0 fine; 1 a mistake in the command or its input, or an output that cannot be written; 2 a fault of infergate.`

/** In the order in which help lists them. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serveCommand(),
  init: async () => (await import('./init/init.ts')).initCommand(),
  check: async () => (await import('./check.ts')).checkCommand(),
  explain: async () => (await import('./explain.ts')).explainCommand(),
  backends: async () => (await import('./backends.ts')).backendsCommand(),
  routes: async () => (await import('./routes.ts')).routesCommand(),
  warm: async () => (await import('./warm/warm.ts')).warmCommand(),
  rollout: async () => (await import('./rollout.ts')).rolloutCommand(),
  purge: async () => (await import('./purge.ts')).purgeCommand(),
  keys: async () => (await import('./keys.ts')).keysCommand(),
  logs: async () => (await import('./logs.ts')).logsCommand(),
  tenants: async () => (await import('./tenants.ts')).tenantsCommand(),
  scale: async () => (await import('./scale.ts')).scaleCommand(),
  'model-server': async () => (await import('./model-server.ts')).modelServerCommand(),
  bench: async () => (await import('./bench.ts')).benchCommand(),
  completion: async () => (await import('./completion.ts')).completionCommand(),
}

/** Runs one command; sets the exit code and never throws. */
export async function run(argv: readonly string[]): Promise<void> {
  // Once, however often a process runs commands.
  for (const stream of [process.stdout, process.stderr]) stream.off('error', unwritten).on('error', unwritten)
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
  try {
    for (const command of await Promise.all(commandsFor(argv[2]).map((load) => load())))
      program.addCommand(contained(command))
    await program.parseAsync([...argv])
  } catch (error) {
    fail(error)
  }
}

/** Output that cannot be written, as on a full disk, is a failure. A closed pipe, as with `| head`, is not. */
function unwritten({ code, message }: NodeJS.ErrnoException): void {
  if (code === 'EPIPE' || process.exitCode) return
  process.exitCode = 1
  process.stderr.write(`infergate: the output cannot be written: ${message}\n`)
}

/** The command of that name; all commands where there is none, for help and suggestions, and for the one that is about all. */
function commandsFor(name: string | undefined): readonly (() => Promise<Command>)[] {
  const isOne = name !== undefined && name !== 'completion' && Object.hasOwn(COMMANDS, name)
  const one = isOne ? COMMANDS[name] : undefined
  return one ? [one] : Object.values(COMMANDS)
}

/** Makes errors of a command and its subcommands reach `run` instead of ending the process. */
function contained(command: Command): Command {
  for (const below of command.commands) contained(below)
  return command.exitOverride().showHelpAfterError('(--help shows the options)')
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // Help and version arrive here as well, with 0.
    if (error.exitCode !== 0) process.exitCode = 1
  } else if (error instanceof UserError || error instanceof MissingPackageError) {
    process.stderr.write(`infergate: ${error.message}\n`)
    process.exitCode = 1
  } else {
    process.stderr.write(
      `infergate: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    process.exitCode = 2
  }
}
