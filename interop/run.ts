/**
 * `npm run interop [NAME …]`: real servers and clients, asked directly and through the gateway. Exits with 1 where
 * two sides differ that should not. See README.md beside this file.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { killAll } from './suite/marked.ts'
import { page } from './suite/page.ts'
import { PAGE } from './suite/places.ts'
import { progress, table } from './suite/progress.ts'
import { readResults, type SystemResult, writeResult } from './suite/results.ts'
import { runSystem, type System } from './suite/session.ts'
import { SYSTEMS } from './systems/systems.ts'

interface Options {
  readonly list?: true
  readonly check?: true
  readonly record?: true
}

const program = new Command('npm run interop --')
  .description(
    'Tries the gateway with real servers and clients, and writes docs/interop.md from what it saw.',
  )
  .argument('[NAME...]', 'the systems to try; all where none is named')
  .option('--list', 'print the names and what is behind them')
  .option('--check', 'only say whether docs/interop.md is what the kept results give')
  .option('--record', 'write what goes over the wire to test/golden/wire instead of comparing')
  .action(main)

process.on('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))
await program.parseAsync()

async function main(names: string[], options: Options): Promise<void> {
  if (options.list) return list()
  if (options.check) return checkPage()
  const chosen = choose(names)
  const seen = new Map<string, SystemResult>()
  for (const system of chosen) {
    const result = await runSystem(system, { ...progress(system), recording: options.record ?? false })
    seen.set(system.name, result)
    if (!options.record) writeResult(system.name, result)
  }
  if (!options.record) writeFileSync(PAGE, page(readResults(), SYSTEMS))
  process.stdout.write(`\n${table(seen)}\n`)
  if ([...seen.values()].some(({ checks }) => checks.some(({ outcome }) => outcome === 'fails')))
    process.exitCode = 1
}

function list(): void {
  const width = Math.max(...SYSTEMS.map(({ name }) => name.length))
  for (const { name, title } of SYSTEMS) process.stdout.write(`${name.padEnd(width)}  ${title}\n`)
}

function checkPage(): void {
  if (readFileSync(PAGE, 'utf8') === page(readResults(), SYSTEMS)) return
  process.stderr.write(
    'docs/interop.md is not what the results in interop/results give: run npm run interop\n',
  )
  process.exitCode = 1
}

function choose(names: readonly string[]): readonly System[] {
  const unknown = names.filter((name) => !SYSTEMS.some((system) => system.name === name))
  if (unknown.length > 0) {
    program.error(
      `there is no system ${unknown.join(', ')}; there are ${SYSTEMS.map(({ name }) => name).join(', ')}`,
    )
  }
  return names.length === 0 ? SYSTEMS : SYSTEMS.filter(({ name }) => names.includes(name))
}
