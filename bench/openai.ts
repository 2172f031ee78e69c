/**
 * The dialect of OpenAI's API beside LiteLLM's cache and vllm-router: cached embeddings and chats, replayed streams, what is added to a
 * stream, batches that overlap, and where shared prompts go. All sides of a scenario run at once, each on the one core of the servers,
 * and take turns within every round; load and backend share another core.
 *
 *   node bench/openai.ts [SCENARIO...]     all of them, if none is named; a name stands for those that begin so
 *
 *   --list          the scenarios, their sides, and what each is to reach
 *   --install       makes the environments of the peers (PyPI, below .cache/bench/peers); without them, sides are left out
 *   --alone         without the peers
 *   --quick         the same with one round of one second: whether it runs; its numbers prove nothing
 *   --rounds N      (default 5)
 *   --seconds N     of a round (default 3)
 *   --before FILE   src/main.ts of another checkout, as one more side wherever the gateway is measured
 *   --profile DIR   writes CPU profiles of the gateway there
 *   --out FILE      writes the tables as Markdown, such as bench/results/openai.md
 *
 * Needs Debian's wrk, nginx, and python3-venv for --install. `CPU times` compares processor time a request, which others on the machine
 * disturb least; `reached` is by the figure of the claim.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machine } from './lib/machine.ts'
import { stopAll } from './lib/process.ts'
import { help } from './lib/usage.ts'
import { type Measured, measure } from './openai/measure.ts'
import { claims, figures, markdown, type Outcome } from './openai/report.ts'
import { type Scenario, type Side, scenarios } from './openai/scenarios.ts'
import { install, isInstalled, PEERS, type PeerName } from './openai/servers.ts'

const OPTIONS = {
  list: { type: 'boolean', default: false },
  install: { type: 'boolean', default: false },
  alone: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '3' },
  before: { type: 'string' },
  profile: { type: 'string' },
  out: { type: 'string' },
} as const

help(import.meta.filename)
const { values, positionals } = parsed()
const chosen = scenarios.filter(
  ({ name }) => positionals.length === 0 || positionals.some((word) => name.startsWith(word)),
)
const [rounds, seconds] = values.quick ? [1, 1] : [Number(values.rounds), Number(values.seconds)]
if (chosen.length === 0 || !(rounds >= 1) || !(seconds > 0))
  usage('no such scenario, or no such number of rounds or seconds')

/** What is wrong with the command line is told without a stack. */
function parsed() {
  try {
    return parseArgs({ allowPositionals: true, options: OPTIONS })
  } catch (error) {
    return usage((error as Error).message.split('. ')[0] ?? '')
  }
}

function usage(problem: string): never {
  console.error(`${problem}; --list shows the scenarios, --help the options`)
  process.exit(1)
}

function sidesOf({ sides }: Scenario): Side[] {
  return sides.flatMap((side) => {
    if (side.server === 'infergate' && values.before !== undefined)
      return [side, { ...side, name: `${side.name}, before`, server: 'before' as const }]
    if (!(side.server in PEERS)) return [side]
    return values.alone || values.quick || !isInstalled(side.server as PeerName) ? [] : [side]
  })
}

function list(): void {
  for (const { name, title, sides, goals } of scenarios) {
    console.log(`${name.padEnd(16)}${title}\n${' '.repeat(16)}${sides.map((side) => side.name).join(' · ')}`)
    for (const { side, figure, how, against, least, aim } of goals)
      console.log(`${' '.repeat(16)}${figure} of ${side}: ${least} ${how} ${against}, aim ${aim}`)
  }
}

async function run(scenario: Scenario, folder: string): Promise<Outcome> {
  const nodeArgs = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
  const terms = { folder, rounds, seconds, before: values.before, nodeArgs }
  const measured: Measured[] = await measure(scenario, sidesOf(scenario), terms)
  const outcome = { scenario, measured }
  console.log(`\n${scenario.name}: ${scenario.title}; load average ${os.loadavg()[0]?.toFixed(1)}`)
  console.table(figures(outcome))
  const told = claims(outcome)
  if (told.length > 0) console.table(told)
  return outcome
}

if (values.list) list()
else {
  if (values.install) for (const peer of Object.keys(PEERS) as PeerName[]) install(peer)
  const folder = mkdtempSync(join(os.tmpdir(), 'infergate-openai-'))
  // nginx runs as a user of its own.
  chmodSync(folder, 0o755)
  try {
    const outcomes: Outcome[] = []
    for (const scenario of chosen) outcomes.push(await run(scenario, folder))
    if (values.out !== undefined) writeFileSync(values.out, markdown(outcomes, machine()))
  } finally {
    await stopAll()
    rmSync(folder, { recursive: true, force: true })
  }
}
