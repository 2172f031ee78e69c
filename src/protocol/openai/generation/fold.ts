/**
 * Makes of the events of a stream the answer in one piece that the server would have given. What cannot be put together
 * without loss is not: a member that nobody here knows might be a part of a text, or a whole one.
 */
import { type ExactObject, isList, isObject, type Json, says } from './exact-json.ts'
import type { GenerationKind } from './rules.ts'

/** The members of a chunk that are those of the whole answer as well. */
const COMMON = ['id', 'object', 'created', 'model', 'system_fingerprint', 'service_tier']
const OF_CHUNK = new Set([...COMMON, 'choices', 'usage', 'obfuscation'])
/** What servers say beside the reason why a choice ended. */
const ENDINGS = ['finish_reason', 'stop_reason', 'matched_stop']
const OF_CHOICE = new Set([...ENDINGS, 'index', 'delta', 'text', 'logprobs'])
const TEXTS = ['content', 'refusal', 'reasoning_content', 'reasoning']
const OF_DELTA = new Set([...TEXTS, 'role', 'tool_calls', 'function_call', 'annotations'])

/** Thrown inside where a member has no place in the answer. */
class Loss extends Error {}

/** The answer that chunks add up to; undefined: they do not without loss. */
export function answerOf(
  kind: Exclude<GenerationKind, 'responses'>,
  chunks: readonly ExactObject[],
): ExactObject | undefined {
  try {
    return foldChunks(kind, chunks)
  } catch (error) {
    if (error instanceof Loss) return undefined
    throw error
  }
}

function foldChunks(kind: GenerationKind, chunks: readonly ExactObject[]): ExactObject {
  const answer: Record<string, Json> = {}
  const choices = new Map<number, Choice>()
  let usage: Json | undefined
  for (const chunk of chunks) {
    onlyKnown(chunk, OF_CHUNK)
    for (const name of COMMON)
      if (!says(answer[name]) && chunk[name] !== undefined) answer[name] = chunk[name]
    if (says(chunk['usage'])) usage = chunk['usage']
    for (const part of listOf(chunk['choices'])) {
      const index = isObject(part) ? (part['index'] ?? 0) : undefined
      if (!isObject(part) || typeof index !== 'number') throw new Loss()
      const choice = choices.get(index) ?? new Choice(kind)
      choices.set(index, choice)
      choice.add(part)
    }
  }
  // In one piece a server says it always. One that did not heed that it was asked for it has kept it back.
  if (usage === undefined) throw new Loss()
  const { system_fingerprint, service_tier, ...head } = answer
  const ordered = [...choices].sort(([a], [b]) => a - b)
  return {
    ...head,
    object: kind === 'chat' ? 'chat.completion' : 'text_completion',
    choices: ordered.map(([index, choice]) => choice.whole(index)),
    usage,
    ...(service_tier === undefined ? {} : { service_tier }),
    ...(system_fingerprint === undefined ? {} : { system_fingerprint }),
  }
}

/** One of the choices, as its parts add up. */
class Choice {
  readonly #isChat: boolean
  readonly #message: Record<string, Json> = {}
  readonly #endings: Record<string, Json> = {}
  readonly #calls = new Map<number, Record<string, Json>>()
  #text = ''
  #logprobs: Record<string, Json> | null | undefined

  constructor(kind: GenerationKind) {
    this.#isChat = kind === 'chat'
  }

  add(part: ExactObject): void {
    onlyKnown(part, OF_CHOICE)
    for (const name of ENDINGS) {
      const value = part[name]
      if (value !== undefined && !says(this.#endings[name])) this.#endings[name] = value
    }
    if (part['logprobs'] === null) this.#logprobs ??= null
    else if (part['logprobs'] !== undefined)
      this.#logprobs = withLists(this.#logprobs ?? {}, part['logprobs'])
    if (this.#isChat) this.#delta(part['delta'])
    else this.#text += textOf(part['text'])
  }

  whole(index: number): ExactObject {
    const said = this.#isChat ? { message: this.#whole() } : { text: this.#text }
    const logprobs = this.#logprobs === undefined ? {} : { logprobs: this.#logprobs }
    return { index, ...said, ...logprobs, ...this.#endings }
  }

  #whole(): ExactObject {
    const { role = 'assistant', content = null, ...others } = this.#message
    const calls = [...this.#calls].sort(([a], [b]) => a - b).map(([, call]) => call)
    return { role, content, ...others, ...(calls.length === 0 ? {} : { tool_calls: calls }) }
  }

  #delta(delta: Json | undefined): void {
    if (!says(delta)) return
    if (!isObject(delta)) throw new Loss()
    onlyKnown(delta, OF_DELTA)
    const message = this.#message
    for (const name of TEXTS) {
      const value = delta[name]
      if (value === null) message[name] ??= null
      else if (value !== undefined) message[name] = textOf(message[name]) + textOf(value)
    }
    if (says(delta['role'])) message['role'] ??= delta['role']
    if (isList(delta['annotations']))
      message['annotations'] = [...listOf(message['annotations']), ...delta['annotations']]
    if (says(delta['function_call']))
      message['function_call'] = called(message['function_call'], delta['function_call'])
    for (const call of listOf(delta['tool_calls'])) this.#call(call)
  }

  #call(part: Json): void {
    if (!isObject(part)) throw new Loss()
    const { index = 0, function: named, custom, ...others } = part
    if (typeof index !== 'number') throw new Loss()
    const call = this.#calls.get(index) ?? {}
    this.#calls.set(index, call)
    for (const [name, value] of Object.entries(others)) {
      if (!says(value) || value === '') continue
      if (name !== 'id' && name !== 'type') throw new Loss()
      // Some servers give all calls the same index: two ids are two calls.
      if (says(call[name]) && call[name] !== value) throw new Loss()
      call[name] = value
    }
    if (says(named)) call['function'] = called(call['function'], named)
    if (says(custom)) call['custom'] = called(call['custom'], custom)
  }
}

/** A call of a tool, with one part more: a name, and a piece of its arguments or input. */
function called(before: Json | undefined, part: Json): ExactObject {
  if (!isObject(part)) throw new Loss()
  const call: Record<string, Json> = isObject(before) ? { ...before } : {}
  for (const [name, value] of Object.entries(part)) {
    if (!says(value)) continue
    if (name === 'name') call['name'] ??= value
    else if (name === 'arguments' || name === 'input') call[name] = textOf(call[name]) + textOf(value)
    else throw new Loss()
  }
  return call
}

/** Log probabilities of more tokens, in lists that run beside each other. */
function withLists(before: Record<string, Json>, more: Json): Record<string, Json> {
  if (!isObject(more)) throw new Loss()
  for (const [name, value] of Object.entries(more)) {
    if (isList(value)) before[name] = [...listOf(before[name]), ...value]
    else if (value === null) before[name] ??= null
    else throw new Loss()
  }
  return before
}

function onlyKnown(object: ExactObject, names: ReadonlySet<string>): void {
  for (const name of Object.keys(object)) if (!names.has(name) && says(object[name])) throw new Loss()
}

function listOf(value: Json | undefined): readonly Json[] {
  if (!says(value)) return []
  if (!isList(value)) throw new Loss()
  return value
}

function textOf(value: Json | undefined): string {
  if (!says(value)) return ''
  if (typeof value !== 'string') throw new Loss()
  return value
}
