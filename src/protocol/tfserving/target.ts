/** The paths of TensorFlow Serving's REST API and of KServe V1, which is a part of it plus `:explain`. */
import type { Target } from '../../core/call.ts'
import { decoded } from '../../core/path.ts'

// TensorFlow Serving matches paths without regard to case, and allows any byte but `/` and `:` in names.
const ANY_CASE =
  /^\/v1\/models\/([^/:]+)(?:\/versions\/(\d+)|\/(labels\/[^/:]+))?:(predict|classify|regress|explain)$/i
/** The spelling that all servers accept: KServe refuses capitals, so such a call is forwarded and never stored. */
const PREDICTION = new RegExp(ANY_CASE.source)
const ABOUT = /^\/v1\/models(?:\/([^/:]+)(?:\/versions\/(\d+)|\/(labels\/[^/:]+))?(\/metadata)?)?$/i

/** The target of a method and path in this dialect; only names in a path may be escaped. */
export function tfservingTarget(method: string, path: string): Target | undefined {
  if (method === 'GET' || method === 'HEAD') {
    const found = ABOUT.exec(path)
    return found ? target(found[4] ? 'metadata' : 'status', found, false) : undefined
  }
  // QUERY (RFC 10008) is a safe POST.
  const found = method === 'POST' || method === 'QUERY' ? ANY_CASE.exec(path) : null
  return found ? target((found[4] as string).toLowerCase(), found, PREDICTION.test(path)) : undefined
}

function target(verb: string, found: RegExpExecArray, prediction: boolean): Target | undefined {
  const [model, label] = [decoded(found[1] ?? ''), decoded(found[3] ?? '')]
  if (model === undefined || label === undefined) return undefined
  const version = found[2] ?? (label === '' ? undefined : `labels${label.slice('labels'.length)}`)
  return {
    verb,
    prediction,
    ...(model === '' ? {} : { model }),
    ...(version === undefined ? {} : { version }),
  }
}
