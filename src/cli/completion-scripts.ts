/**
 * The scripts of `infergate completion`, for each shell. All go through the words that are there to find the command, and then offer what
 * is below it and its options; a value is one of its choices, or a file.
 */

export interface ShellOption {
  /** Such as `--header` and `-H`. */
  readonly flags: readonly string[]
  readonly description: string
  readonly choices: readonly string[]
  readonly hasValue: boolean
}

export interface ShellCommand {
  /** The names of the commands down to it; none: the program itself. */
  readonly path: readonly string[]
  readonly below: readonly { readonly name: string; readonly description: string }[]
  /** What its arguments may be. */
  readonly choices: readonly string[]
  readonly options: readonly ShellOption[]
}

/** How the scripts write where they are: each name behind a blank. */
const at = (path: readonly string[]): string => quoted(path.map((name) => ` ${name}`).join(''))

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const indented = (lines: readonly string[]): string => lines.map((line) => `    ${line}\n`).join('')

/** Each command but the program, as the pattern of a `case`. */
function steps(commands: readonly ShellCommand[]): string {
  return commands
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => at(path))
    .join('|')
}

export function bash(program: string, commands: readonly ShellCommand[]): string {
  const values = commands.flatMap(({ path, options }) =>
    options
      .filter(({ hasValue }) => hasValue)
      .map(({ flags, choices }) => {
        const pattern = flags.map((flag) => at([...path, flag])).join('|')
        return `${pattern}) COMPREPLY=($(compgen -W ${quoted(choices.join(' '))} -- "$cur")); return ;;`
      }),
  )
  const words = commands.map(({ path, below, choices, options }) => {
    const all = [...below.map(({ name }) => name), ...choices, ...options.flatMap(({ flags }) => flags)]
    return `${at(path)}) words=${quoted(all.join(' '))} ;;`
  })
  return `# bash completion for ${program}
_${program}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at='' words='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
    ${steps(commands)}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  # A value; where it has no choices, -o default offers files.
  case "$at \${COMP_WORDS[COMP_CWORD - 1]}" in
${indented(values)}  esac
  case "$at" in
${indented(words)}  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _${program} ${program}
`
}

export function zsh(program: string, commands: readonly ShellCommand[]): string {
  const item = (name: string, description: string) =>
    quoted(`${name.replaceAll(':', '\\:')}:${description.replaceAll(':', '\\:')}`)
  const values = commands.flatMap(({ path, options }) =>
    options
      .filter(({ hasValue }) => hasValue)
      .map(({ flags, choices }) => {
        const offer = choices.length > 0 ? `compadd -- ${choices.map(quoted).join(' ')}` : '_files'
        return `${flags.map((flag) => at([...path, flag])).join('|')}) ${offer}; return ;;`
      }),
  )
  const items = commands.map(({ path, below, choices, options }) => {
    const names = [
      ...below.map(({ name, description }) => item(name, description)),
      ...choices.map((choice) => item(choice, '')),
    ]
    const flags = options.flatMap((option) => option.flags.map((flag) => item(flag, option.description)))
    return `${at(path)}) names=(${names.join(' ')}); flags=(${flags.join(' ')}) ;;`
  })
  return `#compdef ${program}
_${program}() {
  local at='' word
  local -a names flags
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
    ${steps(commands)}) at="$at $word" ;;
    esac
  done
  case "$at $words[CURRENT-1]" in
${indented(values)}  esac
  case "$at" in
${indented(items)}  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe -o option flags
  elif (( $#names )); then
    _describe command names
  else
    _files
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _${program} "$@"
else
  compdef _${program} ${program}
fi
`
}

export function fish(program: string, commands: readonly ShellCommand[]): string {
  const text = (value: string) => `'${value.replace(/[\\']/g, '\\$&')}'`
  const lines = commands.flatMap(({ path, below, choices, options }) => {
    const when = `complete -c ${program} -n ${text(`__${program}_at ${at(path)}`)}`
    const files = below.length > 0 || choices.length > 0 ? ' -f' : ''
    return [
      ...below.map(({ name, description }) => `${when}${files} -a ${name} -d ${text(description)}`),
      ...choices.map((choice) => `${when}${files} -a ${text(choice)}`),
      ...options.map(({ flags, description, hasValue, choices: values }) => {
        const names = flags.map((flag) =>
          flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
        )
        const value = values.length > 0 ? ` -x -a ${text(values.join(' '))}` : hasValue ? ' -r -F' : ''
        return `${when} ${names.join(' ')}${value} -d ${text(description)}`
      }),
    ]
  })
  return `# fish completion for ${program}
function __${program}_at
  set -l at ''
  for word in (commandline -opc)[2..]
    switch "$at $word"
      case ${steps(commands).replaceAll('|', ' ')}
        set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`
}
