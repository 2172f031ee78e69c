/**
 * Writes an id of its own on an answer that was given before: clients tell answers apart by it, and so do those who account
 * for them.
 */
import { randomUUID } from 'node:crypto'

/** The id as the first member, as most servers write it. */
const FIRST = /^[^"]*\{\s*("id"\s*:\s*")([\w-]{1,128})"/
const ANY = /("id"\s*:\s*")([\w-]{1,128})"/g

/**
 * The text with another id in place of `id`, wherever that stands as a member of this name. What is within a string does not
 * look like one, since its quotes are escaped. `first`: the part of the text that has the id.
 */
export function withFreshId(text: string, first: string, idOf: (first: string) => unknown): string {
  const [, before, id] = FIRST.exec(first) ?? spelledId(first, idOf(first)) ?? []
  return before === undefined || id === undefined
    ? text
    : text.replaceAll(`${before}${id}"`, `${before}${freshId(id)}"`)
}

function spelledId(first: string, id: unknown): readonly (string | undefined)[] | undefined {
  if (typeof id !== 'string') return undefined
  for (const found of first.matchAll(ANY)) if (found[2] === id) return found
  return undefined
}

/** Another id with the same beginning, such as `chatcmpl-`. */
function freshId(id: string): string {
  const prefix = /^[a-z]+[-_]/i.exec(id)?.[0] ?? ''
  return prefix + randomUUID().replaceAll('-', '')
}
