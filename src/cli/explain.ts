/** `infergate explain`: shows why a request is, or is not, answered from the cache. */
import { isUtf8 } from 'node:buffer'
import { buffer } from 'node:stream/consumers'
import { Command } from 'commander'
import {
  type AdminClientOptions,
  AdminError,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import { type ExplainAnswer, readExplanation } from './answers.ts'

interface Options extends AdminClientOptions {
  readonly header?: readonly string[]
  readonly json?: boolean
}

const EXAMPLES = `
The body is read from standard input, text or bytes; nothing is sent to a backend, and nothing is stored.
Give the header fields that the client sends: "curl -d" says content-type: application/x-www-form-urlencoded unless told
otherwise, which makes another key.

Examples:
  infergate explain POST /v1/models/digits:predict < models/samples/digit-7.v1.json
  infergate explain POST /v1/models/ranker:predict -H 'authorization: Bearer x' --json < body.json
  infergate explain POST /v2/models/ranker/infer -H 'inference-header-content-length: 210' < tensors.bin`

export function explainCommand(): Command {
  const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]
  return withAdminOptions(new Command('explain'))
    .description('say why a request is or is not cacheable: dialect, key, rows, and where it is kept')
    .argument('<method>', 'the method, such as POST')
    .argument('<path>', 'the path with its query, as a client would send it')
    .option('-H, --header <field>', 'a header field, "name: value"; may be given again', collect)
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action((method: string, path: string, options: Options) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        const headers = headersOf(options.header ?? [])
        const body = process.stdin.isTTY ? Buffer.alloc(0) : await buffer(process.stdin)
        const request = { method, path, headers, ...inJson(body) }
        const explained = await client.send('POST', '/api/v1/cache/explain', readExplanation, request)
        process.stdout.write(options.json ? `${JSON.stringify(explained, null, 2)}\n` : describe(explained))
      }),
    )
}

/** Text is sent as it is, because base64 would lower the longest body by a quarter. */
function inJson(body: Buffer): { readonly body: string } | { readonly bodyBase64: string } {
  return isUtf8(body) ? { body: body.toString() } : { bodyBase64: body.toString('base64') }
}

function headersOf(fields: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    fields.map((field) => {
      const [, name, value] = /^([^\s:]+):\s*(.*)$/.exec(field) ?? []
      if (name === undefined || value === undefined)
        throw new AdminError(`--header "${field}": write "name: value"`)
      return [name.toLowerCase(), value]
    }),
  )
}

function describe(explained: ExplainAnswer): string {
  const { route, pool, protocol, verb, model, version, cacheable, reason, key, rows, rowCount, kept } =
    explained
  const target = [model, version].filter((part) => part !== undefined).join(' version ')
  const known = rows?.filter(({ tier }) => tier !== undefined).length ?? 0
  const lines = [
    ['route', `${route}, to pool ${pool}`],
    ['dialect', `${protocol}: ${verb}${target === '' ? '' : ` of ${target}`}`],
    ...detour(explained),
    ['cacheable', cacheable ? 'yes' : `no: ${reason}`],
    ...(key === undefined ? [] : [['key', key]]),
    ...(rows === undefined ? [] : [['rows', `${rowCount}, of which ${known}${among(explained)} are kept`]]),
    ...(cacheable && !rows
      ? [
          [
            'kept',
            kept ? `${kept.tier}, ${seconds(kept.ageMs)} old, fresh for ${seconds(kept.ttlMs)}` : 'nowhere',
          ],
        ]
      : []),
  ]
  return lines.map(([name, text]) => `${(name ?? '').padEnd(10)} ${text}\n`).join('')
}

/** What is done to the call on its way, where anything is. */
function detour({ mirror, sent }: ExplainAnswer): string[][] {
  return [
    ...(sent ? [['sent as', `${sent.path}${sent.host === undefined ? '' : `, to ${sent.host}`}`]] : []),
    ...(mirror
      ? [['mirror', `${Number((mirror.share * 100).toPrecision(3))} % of misses, to pool ${mirror.pool}`]]
      : []),
  ]
}

/** Only the first rows of a long batch are looked up. */
function among({ rows = [], rowCount = 0 }: ExplainAnswer): string {
  return rows.length < rowCount ? ` of the first ${rows.length}` : ''
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`
}
