/** `infergate scale`: shows how many replicas each pool should have, and why. */
import { Command } from 'commander'
import {
  type AdminClientOptions,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'

interface ScaleCommandOptions extends AdminClientOptions {
  readonly json?: boolean
}

interface Scale {
  readonly pool: string
  readonly desired: number
  readonly ready: number
  readonly starting: number
  readonly min: number
  readonly max: number
  readonly sentence: string
  readonly speaks: string
  readonly demand: Readonly<Record<string, unknown>>
}

const EXAMPLES = `
Examples:
  infergate scale              every pool that is scaled
  infergate scale digits       one pool, with the numbers behind it`

/** The command, for the program to mount. */
export function scaleCommand(): Command {
  return withAdminOptions(new Command('scale').argument('[pool]', 'the pool; left out: all that are scaled'))
    .description('show how many replicas there should be, and why')
    .option('--json', 'the answer of the admin API')
    .addHelpText('after', EXAMPLES)
    .action((pool: string | undefined, options: ScaleCommandOptions) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        const path = pool === undefined ? '/api/v1/scale' : `/api/v1/scale/${encodeURIComponent(pool)}`
        const answer = await client.send('GET', path)
        const text = options.json ? JSON.stringify(answer, null, 2) : shown(answer, pool)
        process.stdout.write(`${text}\n`)
      }),
    )
}

function shown(answer: unknown, pool: string | undefined): string {
  if (pool !== undefined) return [line(answer as Scale), ...numbers(answer as Scale)].join('\n')
  const { pools } = answer as { pools: readonly Scale[] }
  if (pools.length === 0) return 'no pool is scaled: give one a "scale" block in the YAML'
  return pools.map(line).join('\n')
}

function line({ pool, sentence, ready, starting, min, max }: Scale): string {
  return `${pool}: ${sentence} (${ready} ready, ${starting} starting; ${min} to ${max})`
}

function numbers({ speaks, demand }: Scale): string[] {
  const lines = Object.entries(demand).map(([name, value]) => `  ${name}: ${text(value)}`)
  return [`  speaks: ${speaks}`, ...lines]
}

function text(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toPrecision(4)))
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map(([name, each]) => `${name} ${text(each)}`)
    .join(', ')
}
