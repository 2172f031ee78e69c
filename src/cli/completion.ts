/** `infergate completion SHELL`: a script for the shell, made of the commands and options that there are. */
import { Argument, Command } from 'commander'
import { bash, fish, type ShellCommand, type ShellOption, zsh } from './completion-scripts.ts'

const SCRIPTS = { bash, zsh, fish } as const
type Shell = keyof typeof SCRIPTS

const HELP = `
Examples:
  $ source <(infergate completion bash)                                          in this shell
  $ infergate completion bash > ~/.local/share/bash-completion/completions/infergate
  $ infergate completion zsh > "\${fpath[1]}/_infergate"
  $ infergate completion fish > ~/.config/fish/completions/infergate.fish`

/** The command that it is added to must have all others by the time it runs. */
export function completionCommand(): Command {
  return new Command('completion')
    .description('print a script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', HELP)
    .action((shell: Shell, _options: unknown, command: Command) => {
      const program = command.parent ?? command
      process.stdout.write(SCRIPTS[shell](program.name(), commandsOf(program, [])))
    })
}

/** The command and all below it. */
function commandsOf(command: Command, path: readonly string[]): ShellCommand[] {
  const below = command.commands.map((each) => ({ name: each.name(), description: each.description() }))
  const choices = command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices)
  return [
    { path, below, choices, options: optionsOf(command) },
    ...command.commands.flatMap((each) => commandsOf(each, [...path, each.name()])),
  ]
}

function optionsOf(command: Command): ShellOption[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map(({ long, short, description, argChoices, required }) => ({
      flags: [long, short].filter((flag) => flag !== undefined && flag !== null),
      description,
      choices: argChoices ?? [],
      // Commander calls an option required whose value is.
      hasValue: required,
    }))
}
