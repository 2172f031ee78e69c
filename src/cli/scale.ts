/** `infergate scale`: shows how many replicas each pool should have, and why. */
import { Command } from 'commander'
import {
  type AdminClientOptions,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import { readScale, readScales, type ScaleRow } from './answers.ts'

interface ScaleCommandOptions extends AdminClientOptions {
  readonly json?: boolean
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
        if (pool === undefined) {
          const answer = await client.send('GET', '/api/v1/scale', readScales)
          return print(answer, listed(answer.pools), options)
        }
        const answer = await client.send('GET', `/api/v1/scale/${encodeURIComponent(pool)}`, readScale)
        print(answer, [line(answer), ...numbers(answer)].join('\n'), options)
      }),
    )
}

function print(answer: unknown, text: string, { json }: ScaleCommandOptions): void {
  process.stdout.write(`${json ? JSON.stringify(answer, null, 2) : text}\n`)
}

function listed(pools: readonly ScaleRow[]): string {
  if (pools.length === 0) return 'no pool is scaled: give one a "scale" block in the YAML'
  return pools.map(line).join('\n')
}

function line({ pool, sentence, ready, starting, min, max }: ScaleRow): string {
  return `${pool}: ${sentence} (${ready} ready, ${starting} starting; ${min} to ${max})`
}

function numbers({ speaks, demand }: ScaleRow): string[] {
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
