/** `infergate tenants`: shows what each tenant has used, what the cache has saved, and what was refused. */
import { Command } from 'commander'
import {
  type AdminClientOptions,
  createAdminClient,
  reportingErrors,
  withAdminOptions,
} from './admin-client.ts'
import { readTenant, readTenants, type TenantRow } from './answers.ts'
import { columns } from './columns.ts'

interface TenantsOptions extends AdminClientOptions {
  readonly json?: boolean
}

const HELP = `
Counts of all workers since the gateway was started; a reload keeps them.
  CALLS    requests, however they were answered
  HITS     those that a cache has answered, by tier
  ROWS     rows of calls that were answered; a call that is not read into rows is one
  SENT     rows that went to backends
  SAVED    the other rows: found in a cache, on their way for somebody else, or twice in a call
  TOKENS   tokens that backends have taken, of tenants with a limit of them, and those that were saved
           (for generations that a cache or another call has answered); left out where there are none
  REFUSED  calls that were turned away, and why: requests, rows, tokens or concurrency (a limit of the tenant),
           forbidden (a model or a call that it may not have), overloaded (no place at the backends)
Whoever "tenants" in the YAML does not name counts under "*".

Examples:
  infergate tenants                  every tenant
  infergate tenants mobile           one
  infergate tenants --json | jq '.tenants[] | select(.rows.miss > 1000) | .tenant'`

/** The command, for the program to mount. */
export function tenantsCommand(): Command {
  return withAdminOptions(new Command('tenants').argument('[name]', 'the tenant; left out: all'))
    .description('show what each tenant has used, saved and been refused')
    .option('--json', 'the answer of the admin API, for programs')
    .addHelpText('after', HELP)
    .action((name: string | undefined, options: TenantsOptions) =>
      reportingErrors(async () => {
        const client = await createAdminClient(options)
        if (name !== undefined) {
          const path = `/api/v1/tenants/${encodeURIComponent(name)}`
          const answer = await client.send('GET', path, readTenant)
          return print(answer, table([answer]), options)
        }
        const answer = await client.send('GET', '/api/v1/tenants', readTenants)
        print(answer, [...listed(answer.tenants), ...unidentified(answer.unidentified)], options)
      }),
    )
}

function print(answer: unknown, lines: readonly string[], { json }: TenantsOptions): void {
  process.stdout.write(`${json ? JSON.stringify(answer, null, 2) : lines.join('\n')}\n`)
}

function listed(tenants: readonly TenantRow[]): readonly string[] {
  return tenants.length === 0
    ? ['nobody is asked who they are: give the YAML "auth", see docs/guide/callers.md']
    : table(tenants)
}

function table(tenants: readonly TenantRow[]): readonly string[] {
  const hasTokens = tenants.some((tenant) => sum(tenant.tokens) + sum(tenant.savedTokens) > 0)
  const tokens = hasTokens ? ['TOKENS'] : []
  return columns(
    ['TENANT', 'CALLS', 'HITS', 'ROWS', 'SENT', 'SAVED', ...tokens, 'REFUSED'],
    tenants.map((tenant) => cells(tenant, hasTokens)),
  )
}

function cells(
  { tenant, calls, hits, rows, tokens, savedTokens, refused }: TenantRow,
  hasTokens: boolean,
): readonly string[] {
  const asked = sum(rows)
  return [
    tenant,
    String(sum(calls)),
    named(hits),
    String(asked),
    String(rows.miss),
    asked === 0 ? '-' : `${asked - rows.miss} (${Math.round(((asked - rows.miss) / asked) * 100)} %)`,
    ...(hasTokens ? [`${sum(tokens)}, saved ${sum(savedTokens)}`] : []),
    named(refused),
  ]
}

function unidentified(refused: Readonly<Record<string, number>>): string[] {
  const count = sum(refused)
  return count === 0 ? [] : [`refused before it was known who they are: ${named(refused)}`]
}

/** `memory 12, redis 3` */
function named(counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  return parts.length === 0 ? '-' : parts.join(', ')
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((a, b) => a + b, 0)
}
