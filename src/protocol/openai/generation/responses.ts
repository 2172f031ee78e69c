/**
 * Responses as events and in one piece. The last event of a stream has the whole response. The other way round, a response is
 * told as servers tell it: each item is added, filled piece by piece, and done.
 */
import { type ExactObject, isList, isObject, type Json, says } from './exact-json.ts'
import { piecesOf } from './unfold.ts'

/** The response that the events tell; undefined: none of them has it. */
export function responseOf(events: readonly ExactObject[]): ExactObject | undefined {
  const last = events.findLast(({ type }) => type === 'response.completed' || type === 'response.incomplete')
  const response = last?.['response']
  return isObject(response) ? response : undefined
}

interface ToldEvent extends ExactObject {
  readonly type: string
}

/** The events that tell a response; undefined: it has an item that they have no known words for. */
export function eventsOf(response: ExactObject): readonly ToldEvent[] | undefined {
  const { output, status } = response
  if (!isList(output) || (status !== 'completed' && status !== 'incomplete')) return undefined
  const begun = { ...response, status: 'in_progress', output: [], usage: null, incomplete_details: null }
  const teller = new Teller()
  teller.tell('response.created', { response: begun })
  teller.tell('response.in_progress', { response: begun })
  for (const [index, item] of output.entries())
    if (!isObject(item) || !teller.item(item, index)) return undefined
  teller.tell(`response.${status}`, { response })
  return teller.events
}

class Teller {
  readonly events: ToldEvent[] = []

  tell(type: string, said: ExactObject): void {
    this.events.push({ type, sequence_number: this.events.length, ...said })
  }

  /** False: an item of a kind that is not known. */
  item(item: ExactObject, output_index: number): boolean {
    const place: Record<string, Json> = { output_index }
    if (item['id'] !== undefined) place['item_id'] = item['id']
    const status = item['status'] === undefined ? {} : { status: 'in_progress' }
    const added = (empty: ExactObject) =>
      this.tell('response.output_item.added', { output_index, item: { ...item, ...status, ...empty } })
    let isTold: boolean
    switch (item['type']) {
      case 'message':
        added({ content: [] })
        isTold = this.#parts(item['content'], place)
        break
      case 'reasoning':
        added(isList(item['content']) ? { summary: [], content: [] } : { summary: [] })
        isTold = this.#summary(item['summary'], place) && this.#parts(item['content'], place)
        break
      case 'function_call':
        added({ arguments: '' })
        isTold = this.#text('response.function_call_arguments', ['arguments', item['arguments']], place)
        break
      case 'custom_tool_call':
        added({ input: '' })
        isTold = this.#text('response.custom_tool_call_input', ['input', item['input']], place)
        break
      default:
        return false
    }
    this.tell('response.output_item.done', { output_index, item })
    return isTold
  }

  #parts(parts: Json | undefined, item: ExactObject): boolean {
    if (!says(parts)) return true
    if (!isList(parts)) return false
    return parts.every(
      (part, content_index) => isObject(part) && this.#part(part, { ...item, content_index }),
    )
  }

  #part(part: ExactObject, place: ExactObject): boolean {
    const name = part['type'] === 'refusal' ? 'refusal' : 'text'
    const { annotations, logprobs } = part
    const empty: Record<string, Json> = { ...part, [name]: '' }
    if (annotations !== undefined) empty['annotations'] = []
    if (logprobs !== undefined) empty['logprobs'] = []
    // Log probabilities are of the pieces of a model, which are not known any more.
    if (isList(logprobs) && logprobs.length > 0) return false
    const told = TOLD.get(part['type'])
    if (told === undefined) return false
    this.tell('response.content_part.added', { ...place, part: empty })
    // Only the text of a message has log probabilities.
    const beside = part['type'] === 'output_text' ? { logprobs: [] } : {}
    const isTold = this.#text(told, [name, part[name]], { ...place, ...beside })
    for (const [annotation_index, annotation] of (isList(annotations) ? annotations : []).entries())
      this.tell('response.output_text.annotation.added', { ...place, annotation_index, annotation })
    this.tell('response.content_part.done', { ...place, part })
    return isTold
  }

  #summary(parts: Json | undefined, item: ExactObject): boolean {
    if (!says(parts)) return true
    if (!isList(parts)) return false
    return parts.every((part, summary_index) => {
      if (!isObject(part) || part['type'] !== 'summary_text') return false
      const place = { ...item, summary_index }
      this.tell('response.reasoning_summary_part.added', { ...place, part: { ...part, text: '' } })
      const isTold = this.#text('response.reasoning_summary_text', ['text', part['text']], place)
      this.tell('response.reasoning_summary_part.done', { ...place, part })
      return isTold
    })
  }

  /** A text piece by piece, and then as a whole. `place`: what its events say besides. */
  #text(type: string, [name, text]: readonly [string, Json | undefined], place: ExactObject): boolean {
    if (typeof text !== 'string') return false
    for (const delta of piecesOf(text)) this.tell(`${type}.delta`, { ...place, delta })
    this.tell(`${type}.done`, { ...place, [name]: text })
    return true
  }
}

/** The events of a part's text, by the type of the part. */
const TOLD: ReadonlyMap<Json | undefined, string> = new Map([
  ['output_text', 'response.output_text'],
  ['refusal', 'response.refusal'],
  ['reasoning_text', 'response.reasoning_text'],
])
