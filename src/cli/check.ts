/** `infergate check FILE`: prints the effective settings, or everything that is wrong with the file. */
import { Command } from 'commander'
import { formatProblem, loadSettings } from '../config/load.ts'
import { presentable, presentYaml } from '../config/present.ts'
import { customParts } from './serve.ts'

const EXAMPLES = `
Examples:
  infergate check config/infergate.yaml              the settings with all defaults, as YAML
  infergate check config/infergate.yaml --json       the same for a program
  infergate check config/infergate.yaml >/dev/null && systemctl reload infergate

Exit code 0: the file is fine; stderr may have warnings. 1: it is not; stderr has file:line:column and the fix of every
problem.
Tokens, passwords and hashes are shown as ***. Certificates and files of keys are not opened: they may be on another machine.`

export function checkCommand(): Command {
  return new Command('check')
    .description('print the resolved settings, or every problem of a configuration file')
    .argument('<file>', 'the YAML file')
    .option('--json', 'print JSON instead of YAML')
    .option('--parts <module>', 'a module with parts of your own that the YAML names')
    .addHelpText('after', EXAMPLES)
    .action(check)
}

async function check(file: string, { json, parts }: { json?: boolean; parts?: string }): Promise<void> {
  const names = parts === undefined ? {} : (await customParts(parts)).names
  const loaded = await loadSettings(file, process.env, names)
  if ('settings' in loaded) {
    const text = json
      ? `${JSON.stringify(presentable(loaded.settings, names), null, 2)}\n`
      : presentYaml(loaded.settings, names)
    for (const warning of loaded.warnings) process.stderr.write(`warning: ${formatProblem(warning)}\n`)
    process.stdout.write(text)
    return
  }
  process.stderr.write(`${loaded.problems.map(formatProblem).join('\n')}\n`)
  process.exitCode = 1
}
