/** The schema of tenants: what the callers of each may have. */
import * as z from 'zod'
import { PRIORITIES } from '../../core/tenant-share.ts'
import { count, duration, quota, rate } from './fields.ts'

const TENANT = /^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/

export const tenantName = () =>
  z
    .string()
    .regex(TENANT, { error: 'a tenant has 1 to 256 visible ASCII characters' })
    .refine((name) => name !== '*', { error: '"*" is no tenant, but all that are named nowhere' })

/** What an issuer of identities may name. */
export const tenantPatterns = () =>
  z
    .array(z.string().min(1))
    .min(1)
    .exactOptional()
    .describe(
      'Tenants that it may name, `*` for one or more characters; left out: any, which `check` warns of.',
    )

const rates = z.strictObject({
  requests: rate().exactOptional().describe('Calls, whether they are hits or not.'),
  rows: rate()
    .exactOptional()
    .describe(
      'Rows that are sent to backends; what is found in the cache is free. A call that is not read into rows is one.',
    ),
  tokens: rate()
    .exactOptional()
    .describe(
      "Tokens of prompts and answers, as servers that speak OpenAI's API count them; what is found in the cache is free. A call reserves what it may take at most, and pays what it has taken.",
    ),
  burst: duration({ max: '1h' })
    .prefault('1s')
    .describe('How much of a rate may be used at once, as time of it; one unit may always.'),
})

const quotas = z.strictObject({
  requests: quota().exactOptional().describe('Calls, whether they are hits or not.'),
  rows: quota().exactOptional().describe('Rows that are sent to backends, as in `rate`.'),
  tokens: quota().exactOptional().describe('Tokens of prompts and answers, as in `rate`.'),
})

const label = /^[\x21-\x7e]{1,64}$/

export const tenant = z.strictObject({
  rate: rates
    .exactOptional()
    .describe(
      'What is beyond these is answered 429; of all workers together, and of all gateways on one Redis.',
    ),
  quota: quotas
    .exactOptional()
    .describe(
      'What may be used in each day (`/d`) or month (`/mo`) of the UTC calendar; the rest is answered 429. Needs a Redis tier, which keeps the counts. Anonymous callers have none.',
    ),
  concurrency: count(1, 1_000_000)
    .exactOptional()
    .describe('Most requests to backends at a time, waiting ones included; what is beyond is answered 429.'),
  models: z
    .array(z.string().min(1))
    .exactOptional()
    .describe('Models that it may use, `*` for one or more characters; any other is answered 403.'),
  backends: z
    .record(z.string().regex(label), z.string().regex(label))
    .exactOptional()
    .describe('Labels that a backend must have to get its calls.'),
  weight: z
    .number()
    .min(0.01)
    .max(1000)
    .prefault(1)
    .describe('Its part of the rows of a pool that is full, beside the other tenants of its class.'),
  priority: z
    .enum(PRIORITIES)
    .prefault('standard')
    .describe(
      'Its class: calls of one wait in front of those of the next; `sheddable` ones are the first to go from a full queue.',
    ),
  floor: count(0, 100_000)
    .prefault(0)
    .describe('Places of each pool that others leave free for it, even while it has no use for them.'),
})

export const tenants = z.record(
  z.string().regex(TENANT, { error: 'a tenant has 1 to 256 visible ASCII characters' }),
  tenant,
)
