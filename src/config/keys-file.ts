/** Reads a file with API keys: a list as under `auth.keys`, in YAML or JSON. */
import * as z from 'zod'
import { issuesOf } from './messages.ts'
import { apiKey } from './schema/auth.ts'
import type { ApiKeySettings } from './schema.ts'
import { printPath } from './walk.ts'
import { readYaml } from './yaml.ts'

const list = z.array(apiKey)

/** Throws an Error that says what is wrong, and where. No hash is repeated. */
export function readKeys(text: string): readonly ApiKeySettings[] {
  const input = parse(text)
  const parsed = list.safeParse(input)
  if (!parsed.success) {
    const [issue] = issuesOf(list, input, parsed.error.issues)
    const at = issue && issue.path.length > 0 ? `${printPath(issue.path)}: ` : ''
    throw new Error(issue ? `${at}${issue.message}` : 'it is no list of keys')
  }
  for (const field of ['name', 'hash'] as const) {
    const seen = new Set<string>()
    for (const [i, key] of parsed.data.entries()) {
      if (seen.has(key[field])) throw new Error(`[${i}].${field}: another key has this ${field}`)
      seen.add(key[field])
    }
  }
  return parsed.data
}

/** JSON is YAML as well, and is read a hundred times faster as what it is. */
function parse(text: string): unknown {
  if (/^\s*\[/.test(text)) {
    try {
      return JSON.parse(text)
    } catch {
      // A flow sequence of YAML.
    }
  }
  const read = readYaml(text, {})
  if ('yaml' in read && read.yaml.problems.length === 0) return read.yaml.value ?? []
  const [problem] = 'yaml' in read ? read.yaml.problems : read.problems
  throw new Error(problem ? `${problem.line}:${problem.column}: ${problem.message}` : 'it is not YAML')
}
