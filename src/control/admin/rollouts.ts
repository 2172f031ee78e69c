/** `/api/v1/rollouts`: rollouts are begun, looked at, paused, and taken back. */
import { pause, resume, rollBack, type StartRequest } from '../rollout/commands.ts'
import { DEFAULT_STEPS } from '../rollout/plan.ts'
import type { AdminContext, AdminReply, AdminRequest, AdminRoute } from './contract.ts'
import { Problem } from './problem.ts'
import { durationMs, list, number, object, oneOf, readAll, text } from './validate.ts'

const MAX_MS = 7 * 24 * 3_600_000
const DEFAULT_HOLD_MS = 60_000
/** Failures that are allowed beyond those of the old pool, times of its latency, and the misses that are compared. */
const DEFAULTS = { maxErrors: 0.005, maxLatency: 1.2, compare: 0.2 } as const

const poolName = text({
  max: 64,
  pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]*$/,
  what: 'must be the name of a pool',
})
const routeName = text({
  max: 64,
  pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]*$/,
  what: 'must be the name of a route',
})
const span = text({ max: 16, pattern: /^\d{1,9}(ms|s|m|h)?$/, what: 'must be a duration, as 60s' })

const body = object({
  route: routeName,
  to: poolName,
  from: poolName.exactOptional(),
  steps: list(number({ min: 0.1, max: 100 }), 32).exactOptional(),
  hold: span.exactOptional(),
  minSample: number({ min: 1, max: 10_000_000, integer: true }).exactOptional(),
  maxErrors: number({ min: 0, max: 1 }).exactOptional(),
  maxLatency: number({ min: 1, max: 100 }).exactOptional(),
  maxDifferences: number({ min: 0, max: 1 }).exactOptional(),
  compare: number({ min: 0, max: 1 }).exactOptional(),
  stepTimeout: span.exactOptional(),
  warm: oneOf('yes', 'no').exactOptional(),
  dryRun: oneOf('yes', 'no').exactOptional(),
})

const changeBody = object({ state: oneOf('paused', 'running', 'back') })

export const ROLLOUT_ROUTES: readonly AdminRoute[] = [
  { method: 'GET', path: '/api/v1/rollouts', scope: 'read', answer: listRollouts },
  {
    method: 'POST',
    path: '/api/v1/rollouts',
    scope: 'traffic',
    answer: startRollout,
    audit: {
      action: 'rollout.start',
      details: ({ body: given }) => {
        const { route, to, dryRun } = readAll(body, given)
        return { route, to, ...(dryRun === 'yes' ? { dryRun } : {}) }
      },
    },
  },
  { method: 'GET', path: '/api/v1/rollouts/:route', scope: 'read', answer: findRollout },
  {
    method: 'PATCH',
    path: '/api/v1/rollouts/:route',
    scope: 'traffic',
    answer: changeRollout,
    audit: { action: 'rollout.change', details: ({ body: given }) => readAll(changeBody, given) },
  },
  {
    method: 'DELETE',
    path: '/api/v1/rollouts/:route',
    scope: 'traffic',
    answer: endRollout,
    audit: { action: 'rollout.back' },
  },
]

async function startRollout(request: AdminRequest, context: AdminContext): Promise<AdminReply> {
  const rollouts = partOf(context)
  const { dryRun, ...given } = readAll(body, request.body)
  const wanted = requestIn(given)
  if (dryRun === 'yes') return { status: 200, json: granted(await rollouts.dryRun(wanted)) }
  return { status: 201, json: granted(await rollouts.begin(wanted)) }
}

function listRollouts(_: AdminRequest, context: AdminContext): AdminReply {
  return { status: 200, json: { rollouts: partOf(context).list() } }
}

function findRollout({ params }: AdminRequest, context: AdminContext): AdminReply {
  const { route = '' } = params
  const found = partOf(context).find(route)
  if (!found) throw none(route)
  return { status: 200, json: found }
}

async function changeRollout(
  { params, ...request }: AdminRequest,
  context: AdminContext,
): Promise<AdminReply> {
  const { route = '' } = params
  const { state } = readAll(changeBody, request.body)
  const changed = await partOf(context).command(
    route,
    { paused: pause, running: resume, back: rollBack }[state],
  )
  if (!changed) throw none(route)
  return { status: 200, json: granted(changed) }
}

/** As `PATCH` with `back`. */
async function endRollout({ params }: AdminRequest, context: AdminContext): Promise<AdminReply> {
  const { route = '' } = params
  const changed = await partOf(context).command(route, rollBack)
  if (!changed) throw none(route)
  return { status: 200, json: granted(changed) }
}

type Given = Omit<ReturnType<typeof readAll<typeof body>>, 'dryRun'>

function requestIn({ route, to, from, steps = [...DEFAULT_STEPS], ...given }: Given): StartRequest {
  if (steps.some((step, i) => i > 0 && step <= (steps[i - 1] ?? 0)) || steps.at(-1) !== 100)
    throw new Problem(400, 'steps must grow, and the last one must be 100')
  const { minSample, maxErrors, maxLatency, maxDifferences, compare, warm } = given
  const limits = { maxErrors: maxErrors ?? DEFAULTS.maxErrors, maxLatency: maxLatency ?? DEFAULTS.maxLatency }
  const stepTimeoutMs = spanIn(given.stepTimeout, 'stepTimeout')
  return {
    route,
    to,
    ...(from === undefined ? {} : { from }),
    options: {
      steps,
      holdMs: spanIn(given.hold, 'hold') ?? DEFAULT_HOLD_MS,
      ...(minSample === undefined ? {} : { sample: minSample }),
      limits: { ...limits, ...(maxDifferences === undefined ? {} : { maxDifferences }) },
      warm: warm !== 'no',
      compare: compare ?? DEFAULTS.compare,
      ...(stepTimeoutMs === undefined ? {} : { stepTimeoutMs }),
    },
  }
}

function spanIn(given: string | undefined, name: string): number | undefined {
  const ms = given === undefined ? undefined : durationMs(given)
  if (ms !== undefined && ms > MAX_MS) throw new Problem(400, `${name} must be at most 168h`)
  return ms
}

function partOf({ parts }: AdminContext) {
  if (!parts.rollouts) throw new Problem(404, 'this gateway makes no rollouts')
  return parts.rollouts
}

function granted<T extends object>(answer: T | { readonly refused: string }): T {
  if ('refused' in answer) throw new Problem(409, answer.refused)
  return answer
}

function none(route: string): Problem {
  return new Problem(404, `there was no rollout of a route "${route}"`)
}
