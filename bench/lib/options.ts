/** The command line of `npm run bench`, and what it teaches. */
import { parseArgs } from 'node:util'
import type { Pace } from './plan.ts'
import type { Scenario } from './scenario.ts'

export interface Options {
  readonly command: 'measure' | 'profile' | 'list' | 'help'
  readonly scenarios: readonly Scenario[]
  readonly pace: Pace
  readonly out: string | undefined
  readonly side: string | undefined
  readonly install: boolean
  /** Fails where a claim has fallen by more than its noise. */
  readonly check: boolean
  /** Writes what the claims come to as what later runs are compared with. */
  readonly baseline: boolean
}

/** A mistake on the command line: shown without a stack. */
export class Mistake extends Error {}

export const HELP = `The gateway beside its peers, in numbers that can be believed: server and load on a core each, interleaved
rounds, medians, processor time beside throughput, errors and false hits found out.

  npm run bench                             every scenario, five rounds of three seconds; some sixteen minutes
  npm run bench -- --quick                  one-second rounds, only the sides that claims are about; under two
                                            minutes, to work with; its numbers prove nothing
  npm run bench -- --only hit-200b,miss     the scenarios whose names begin so; --only may be given again
  npm run bench -- --list                   the scenarios, their sides, what each is to reach, and how long it takes
  npm run bench -- --check                  fails where a claim is worse than bench/baseline.json by more than its noise
  npm run bench -- profile hit-200b         a flame graph of the gateway under that load, and a table a stage

  --rounds N     interleaved rounds (default 5; with --quick 2)
  --seconds N    seconds a round (default 3; with --quick 1)
  --side NAME    with profile: which of the scenario's sides (default: the first)
  --out FOLDER   where results go. Default: bench/results/gateway when there are five rounds or more, where they
                 take the places of earlier results of the same scenarios; .cache/bench otherwise. Profiles: bench/results
  --baseline     writes what was measured to bench/baseline.json: a step to be explained in the commit that takes it
  --install      installs with apt-get what is missing of wrk nginx libnginx-mod-http-lua varnish varnish-modules
                 haproxy redis-server; without it a peer that is missing is left out, and the report says so

On a machine with other work on it only ratios are worth anything, and those within their range are no findings.`

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  only: { type: 'string', multiple: true },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  out: { type: 'string' },
  side: { type: 'string' },
  list: { type: 'boolean', default: false },
  install: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  baseline: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

export function parseOptions(args: readonly string[], all: readonly Scenario[]): Options {
  const { values, positionals } = parsed(args)
  const [word, name, ...more] = positionals
  if (word !== undefined && word !== 'profile')
    throw new Mistake(`"${word}" is no command; there is profile, and --help`)
  if (more.length > 0 || (word === 'profile' && name === undefined))
    throw new Mistake('profile takes the name of one scenario: npm run bench -- profile hit-200b')
  const { quick, install, out, side, check, baseline } = values
  if (baseline && quick)
    throw new Mistake('--baseline is for numbers that can be believed: leave out --quick')
  const seconds = values.seconds ?? (quick ? '1' : undefined)
  return {
    command: values.help ? 'help' : values.list ? 'list' : (word ?? 'measure'),
    scenarios: chosen(name ?? values.only?.join(','), all, quick),
    pace: {
      quick,
      rounds: whole('--rounds', values.rounds ?? (quick ? '2' : '5')),
      seconds: seconds === undefined ? undefined : whole('--seconds', seconds),
    },
    out,
    side,
    install,
    check,
    baseline,
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new Mistake(`${(error as Error).message.split('. ')[0]}; --help lists the options`, {
      cause: error,
    })
  }
}

function chosen(only: string | undefined, all: readonly Scenario[], quick: boolean): readonly Scenario[] {
  if (only === undefined) return quick ? all.filter(({ unhurried }) => !unhurried) : all
  const wanted = only.split(',').map((name) => name.trim())
  for (const name of wanted)
    if (name === '' || !all.some((one) => one.name.startsWith(name)))
      throw new Mistake(
        `no scenario begins with "${name}"; there are ${all.map((one) => one.name).join(', ')}`,
      )
  return all.filter((one) => wanted.some((name) => one.name.startsWith(name)))
}

function whole(option: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new Mistake(`${option} takes a whole number from 1 to 1000, not "${text}"`)
  return value
}
