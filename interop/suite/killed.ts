/**
 * kill -9 of a server while it is asked: answers that are kept keep coming, other calls are refused in the caller's
 * dialect, and when the server is back everything is as it was.
 */
import { type Answer, type Ask, ask, cacheStatus, isHit } from './ask.ts'
import { difference, type Invented } from './compare.ts'
import { eventually } from './eventually.ts'
import type { Gateway } from './gateway.ts'
import type { Server, Session } from './session.ts'

export interface Killed {
  readonly server: Server
  readonly direct: string
  readonly gateway: Gateway
  /** A call whose answer is kept; undefined where the server's answers never are. */
  readonly kept?: Ask
  /** Calls that were never asked before, a new one for each number. */
  fresh(number: number): Ask
  /** In words what is wrong with a refusal; undefined where it is one of the dialect. */
  refused(answer: Answer): string | undefined
  readonly invented?: Invented
}

const GROUP = 'kill -9 in the middle of a load'
const BACK_MS = 30_000
const CALLS = 20

export async function tryKilled(session: Session, options: Killed): Promise<void> {
  if (session.recording) return
  const { server, direct, gateway, kept, fresh, invented } = options
  const wanted = kept && (await ask(direct, kept))
  if (kept) await ask(gateway.url, kept)
  let number = 0
  const next = () => ask(gateway.url, fresh(number++))
  // These run when the server is killed: each ends with an answer of the server or with a refusal, none hangs.
  const load = Promise.all(Array.from({ length: CALLS }, next))
  await server.kill()
  const cut = await load
  await session.check(GROUP, 'calls that ran are answered or refused in the dialect', async () =>
    first(cut, (answer) => (answer.status === 200 ? undefined : refusal(answer, options))),
  )
  await session.check(GROUP, 'new calls are refused in the dialect', async () =>
    first([await next(), await next(), await next()], (answer) => refusal(answer, options)),
  )
  if (kept && wanted) {
    await session.check(GROUP, 'kept answers keep coming', async () => {
      const answers = await Promise.all(Array.from({ length: CALLS }, () => ask(gateway.url, kept)))
      return first(
        answers,
        (answer) =>
          difference(wanted, answer, invented) ??
          (isHit(answer) ? undefined : `no hit (${cacheStatus(answer)})`),
      )
    })
  }
  await server.start()
  await session.check(GROUP, 'all is right when it is back', async () => {
    const call = fresh(number++)
    const directly = await ask(direct, call)
    const through = await eventually(
      async () => {
        const answer = await ask(gateway.url, call)
        if (answer.status !== directly.status)
          throw new Error(`status ${answer.status}: ${answer.body.toString()}`)
        return answer
      },
      { timeoutMs: BACK_MS, everyMs: 200 },
    )
    return (
      difference(directly, through, invented) ??
      (kept && wanted ? difference(wanted, await ask(gateway.url, kept), invented) : undefined)
    )
  })
}

function refusal(answer: Answer, { refused }: Killed): string | undefined {
  if (![502, 503].includes(answer.status)) return `status ${answer.status}: ${answer.body.toString()}`
  return refused(answer)
}

function first(
  answers: readonly Answer[],
  wrong: (answer: Answer) => string | undefined,
): string | undefined {
  return answers.map(wrong).find((seen) => seen !== undefined)
}

/** A refusal of V1 and V2: an object with a member `error` that is a text. */
export function refusedWithError({ body }: Answer): string | undefined {
  const text = body.toString()
  try {
    const { error } = JSON.parse(text) as { error?: unknown }
    return typeof error === 'string' ? undefined : `no member "error" in ${text}`
  } catch {
    return `no JSON: ${text}`
  }
}

/** A refusal of TorchServe: an object with `code`, `type` and `message`. */
export function refusedAsTorchserve({ status, body }: Answer): string | undefined {
  const text = body.toString()
  try {
    const { code, type, message } = JSON.parse(text) as Record<string, unknown>
    const right = code === status && typeof type === 'string' && typeof message === 'string'
    return right ? undefined : `no code, type and message in ${text}`
  } catch {
    return `no JSON: ${text}`
  }
}

/** A refusal of OpenAI's API: an object `error` with `message`, `type` and `code`. */
export function refusedAsOpenai({ body }: Answer): string | undefined {
  const text = body.toString()
  try {
    const { error } = JSON.parse(text) as { error?: Record<string, unknown> }
    const right = ['message', 'type', 'code'].every((name) => typeof error?.[name] === 'string')
    return right ? undefined : `no message, type and code in ${text}`
  } catch {
    return `no JSON: ${text}`
  }
}

/** A refusal where no dialect is spoken: problem details (RFC 9457) with this status. */
export function refusedAsProblem({ status, fields, body }: Answer): string | undefined {
  const text = body.toString()
  const isProblem = fields['content-type'] === 'application/problem+json'
  return isProblem && text.includes(`"status":${status}`) ? undefined : `no problem details: ${text}`
}
