/** The schema of routes: which calls go to which pool. The first route that matches wins. */
import * as z from 'zod'
import { ambiguity } from '../../core/path.ts'
import { routeCache } from './cache.ts'
import { cors } from './cors.ts'
import type { PartName } from './custom-parts.ts'
import { count, duration, nameOf, orElse } from './fields.ts'
import { predictionLog } from './prediction-log.ts'
import { headers, rewrite } from './rewrites.ts'
import { fallback, mirror, split, sticky } from './traffic.ts'
import { warming } from './warming.ts'

const PATTERN_HINT =
  'expected a path that begins with /, with * for one or more characters, such as /v1/models/*'

const DOUBLE_HINT = 'write one * for **: it stands for slashes as well'

/** Characters of a regular expression that occur in no path: a route with them would silently never match. */
const NO_REGEX = /^(?!.*(?:[\\^|{}[\]<>"`]|\$$|\)[*+]))/
const REGEX_HINT =
  'this reads as a regular expression, and each sign of it would be taken as it stands: only * is special, for one or more characters'

const UNREACHED_HINT =
  'no call gets here: paths with dot segments, or with an encoded slash, backslash or control character, are refused'

const match = z.strictObject({
  path: z
    .string()
    .regex(NO_REGEX, { error: REGEX_HINT, abort: true })
    .regex(/^(?!.*\*\*)/, { error: DOUBLE_HINT, abort: true })
    .regex(/^\/[^?#\s]*$/, { error: PATTERN_HINT })
    .refine((pattern) => ambiguity(pattern) === undefined, { error: UNREACHED_HINT })
    .exactOptional()
    .describe('The path; `*`, at the end or in the middle, stands for one or more characters.'),
  host: z
    .string()
    .toLowerCase()
    .regex(/^(?:\*\.)?[a-z0-9.-]+(?::\d{1,5})?$|^\[[0-9a-f:.]+\](?::\d{1,5})?$/, {
      error: 'expected a host name, such as models.example or *.models.example',
    })
    .exactOptional()
    .describe('The Host field; a leading `*.` stands for one or more labels.'),
  method: z
    .union([z.string(), z.array(z.string()).min(1)], {
      error: 'expected a method, such as POST, or a list of them',
    })
    .transform((given, ctx) => {
      const methods = typeof given === 'string' ? [given] : given
      if (methods.every((method) => /^[A-Z]{1,32}$/.test(method))) return methods
      ctx.addIssue({ code: 'custom', message: 'expected methods in capitals, such as POST' })
      return z.NEVER
    })
    .exactOptional()
    .describe('The method, or a list of methods.'),
  tenant: z
    .string()
    .min(1)
    .exactOptional()
    .describe('The tenant of the caller; `*` as in `path`. Anonymous callers have none.'),
  model: z.string().min(1).exactOptional().describe('The model the call names; `*` as in `path`.'),
  headers: z
    .record(
      z
        .string()
        .toLowerCase()
        .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, { error: 'expected a header field name' }),
      z.string(),
    )
    .exactOptional()
    .describe('Header fields with the value each must have; `*` as in `path`.'),
})

const batch = z.strictObject({
  maxRows: count(2, 65_536)
    .prefault(32)
    .describe('Most rows of one request to a backend; a backend that declares less gets less.'),
  maxDelay: duration({ max: '1s' })
    .prefault('2ms')
    .describe('Longest time a row waits for others, and only while all backends are busy.'),
})

/** Where its calls go. */
const pools = {
  pool: z
    .string()
    .exactOptional()
    .describe('Where the calls go: a pool or an embedded model; may be left out where there is only one.'),
  split: split
    .exactOptional()
    .describe(
      'Instead of `pool`: pools that the calls are spread over by weight. The weights may be changed while calls run, over the admin API.',
    ),
  sticky: orElse(
    sticky
      .exactOptional()
      .describe(
        'What calls of a split have in common that go to one pool: `input`, what they ask; `caller`, who asks; `none`: nothing.',
      ),
    '`input`, where there is a split',
  ),
  fallback: fallback
    .exactOptional()
    .describe(
      'Pools that answer, in this order, when the first has no backend, no place or no time left, fails after its retries, or refuses the call for a limit of its own. Their answers are kept as theirs.',
    ),
  mirror: mirror
    .exactOptional()
    .describe(
      'A second pool that gets copies of calls, whose answers nobody gets. Copies are sent once, behind the answer, and dropped rather than waited for.',
    ),
}

/** Which of its calls are kept. */
const sampled = {
  warm: warming
    .exactOptional()
    .describe(
      'Keep a sample of the calls, without credentials, so that a pool or a new version can be warmed with them; without this block none are kept. Calls whose credentials go on to the backend are not among them.',
    ),
}

/** What is changed of its calls and their answers. */
const onTheWay = {
  rewrite: rewrite
    .exactOptional()
    .describe(
      'The path and Host that backends get. The dialect reads the rewritten path, and keys cover it.',
    ),
  headers: headers
    .exactOptional()
    .describe('Header fields of calls and of answers that are changed on the way.'),
}

/** Who may make the calls of a route. */
const callers = {
  auth: orElse(
    z
      .enum(['required', 'optional', 'off'])
      .exactOptional()
      .describe(
        '`required`: without an identity 401; `optional`: anonymous callers as well; `off`: nobody is asked, and credentials are what they are without `auth`: passed on, and a part of keys.',
      ),
    'as `auth.required`',
  ),
  manage: z
    .boolean()
    .prefault(false)
    .describe(
      'Where there is `auth`: let calls through that manage a model server (load, unload, shared memory, trace settings, adapters).',
    ),
  models: z
    .literal('any')
    .exactOptional()
    .describe('`any`: tenants with `models` may make calls here whose model is not known.'),
}

export const routeWith = (protocols: readonly PartName[] = []) =>
  z.strictObject({
    name: nameOf('route')
      .exactOptional()
      .describe('Part of every key, and shown in metrics; required once there are two routes.'),
    match: match.prefault({}).describe('Conditions that must all hold; none: every call.'),
    protocol: z
      .enum(['auto', 'tfserving', 'oip', 'torchserve', 'openai', 'opaque', ...protocols])
      .prefault('auto')
      .describe(
        "The model servers' dialect; `auto` tells it by the path, `opaque` passes everything through unread.",
      ),
    ...pools,
    ...onTheWay,
    timeout: duration()
      .exactOptional()
      .describe(
        'Longest time a call of this route may take, or wait for the head of an answer that streams; otherwise `server.limits.requestTimeout`.',
      ),
    idleTimeout: duration()
      .prefault('60s')
      .describe(
        'Longest silence between two pieces of a body that streams; a client that reads nothing is silent, too.',
      ),
    pure: z
      .boolean()
      .prefault(true)
      .describe('Equal inputs to one version give equal answers; `false` also forbids sending a call twice.'),
    explain: z
      .boolean()
      .prefault(false)
      .describe(
        'Keep explanations (`:explain`) as well, where the route caches: most explainers sample, and say something else each time.',
      ),
    ...callers,
    cors: cors
      .exactOptional()
      .describe(
        'Lets pages of other origins call the route: the gateway answers preflights, and says in answers what browsers ask for.',
      ),
    cache: routeCache
      .exactOptional()
      .describe('How answers are kept; without this block the route does not cache.'),
    ...sampled,
    batch: batch
      .exactOptional()
      .describe(
        'Let rows of several calls share a request where they ask for the same in all but the rows; without this block none do.',
      ),
    serverTiming: z
      .boolean()
      .exactOptional()
      .describe(
        'Say in `Server-Timing` how long a call was in which stage. Hits in memory then take a longer way.',
      ),
    log: predictionLog
      .exactOptional()
      .describe('Write predictions with their answers into files; without this block none are written.'),
  })
