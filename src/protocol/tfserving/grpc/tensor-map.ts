/** `map<string, TensorProto>`, as requests and answers have their tensors. A map has no order, so tensors are sorted by name. */
import type { FieldReader, MessageSource } from '../../protobuf/source.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import { BypassReason, needBytes, once, textOf } from './fields.ts'
import { locateTensor, type TensorPlace } from './tensor.ts'

export interface NamedTensor {
  readonly name: string
  readonly place: TensorPlace
}

const MAX_TENSORS = 1024

export class TensorMap {
  readonly #tensors = new Map<string, TensorPlace>()

  /** Adds an entry. Of several with one name the last counts. */
  add(source: MessageSource, entry: FieldReader): void {
    let name = ''
    let place: TensorPlace | undefined
    while (entry.next()) {
      if (entry.field === 1) name = textOf(entry)
      else if (entry.field === 2) {
        once(place !== undefined)
        place = locateTensor(source, needBytes(entry).message())
      } else throw new BypassReason('map-entry')
    }
    if (!place) throw new BypassReason('tensor-type')
    this.#tensors.set(name, place)
    if (this.#tensors.size > MAX_TENSORS) throw new BypassReason('many-fields')
  }

  sorted(): readonly NamedTensor[] {
    return [...this.#tensors.keys()]
      .sort()
      .map((name) => ({ name, place: this.#tensors.get(name) as TensorPlace }))
  }
}

export function mapEntry(name: string, tensor: MessageWriter): MessageWriter {
  return new MessageWriter().text(1, name).message(2, tensor)
}
