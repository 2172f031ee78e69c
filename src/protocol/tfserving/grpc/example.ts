/**
 * `tensorflow.Example` by meaning (tensorflow/core/example/example.proto): features have no order, and lists of numbers may be
 * packed or not. What parsers read differently, such as a feature of two kinds, is not cached.
 */
import type { Digest } from '../../../core/key.ts'
import { Preimage } from '../../preimage.ts'
import { decodeVarints } from '../../protobuf/packed.ts'
import { BYTES, FIXED32, MalformedProtobuf, VARINT } from '../../protobuf/reader.ts'
import { type FieldReader, WholeSource } from '../../protobuf/source.ts'
import { BypassReason, needBytes, OtherFields, once, textOf } from './fields.ts'

const MAX_FEATURES = 16_384

/** What goes into a key, under a digest of its own. */
export function exampleDigest(example: Uint8Array): Digest {
  const source = new WholeSource(example)
  const others = new OtherFields()
  const ofFeatures = new OtherFields()
  let features: ReadonlyMap<string, Feature> | undefined
  const fields = source.fields()
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 1) {
      once(features !== undefined)
      features = readFeatures(source, needBytes(fields).message(), ofFeatures)
    } else others.add(source, fields, from)
  }
  const preimage = new Preimage().bytes(others.join()).bytes(ofFeatures.join())
  preimage.number(features?.size ?? 0)
  for (const name of [...(features?.keys() ?? [])].sort())
    putFeature(preimage.text(name), features?.get(name) as Feature)
  return preimage.digest()
}

/** The kinds are the numbers of the fields of `Feature`; 0: none, as a feature that is missing. */
const BYTES_LIST = 1
const FLOAT_LIST = 2

interface Feature {
  readonly kind: number
  readonly values: readonly Uint8Array[]
  readonly others: Uint8Array
}

/** `map<string, Feature>`; of several features with one name the last counts. */
function readFeatures(
  source: WholeSource,
  fields: FieldReader,
  others: OtherFields,
): ReadonlyMap<string, Feature> {
  const features = new Map<string, Feature>()
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field !== 1) {
      others.add(source, fields, from)
      continue
    }
    const entry = needBytes(fields).message()
    let name = ''
    let feature: Feature | undefined
    while (entry.next()) {
      if (entry.field === 1) name = textOf(entry)
      else if (entry.field === 2) {
        once(feature !== undefined)
        feature = readFeature(source, needBytes(entry).message())
      } else throw new BypassReason('map-entry')
    }
    features.set(name, feature ?? NO_FEATURE)
    if (features.size > MAX_FEATURES) throw new BypassReason('many-fields')
  }
  return features
}

const NO_FEATURE: Feature = { kind: 0, values: [], others: new Uint8Array(0) }

function readFeature(source: WholeSource, fields: FieldReader): Feature {
  const others = new OtherFields()
  let kind = 0
  let values: readonly Uint8Array[] = []
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field > 3) others.add(source, fields, from)
    else {
      once(kind !== 0)
      kind = fields.field
      values = readList(source, needBytes(fields).message(), kind)
    }
  }
  return { kind, values, others: others.join() }
}

/** The values of a list as they are in a key: strings one by one, numbers little-endian. */
function readList(source: WholeSource, fields: FieldReader, kind: number): readonly Uint8Array[] {
  const wire = kind === BYTES_LIST ? BYTES : kind === FLOAT_LIST ? FIXED32 : VARINT
  const values: Uint8Array[] = []
  while (fields.next()) {
    if (fields.field !== 1) throw new BypassReason('list-field')
    const value = fields.wire === wire ? source.slice(fields.start, fields.end) : needBytes(fields).bytes()
    if (kind === FLOAT_LIST && value.length % 4 !== 0)
      throw new MalformedProtobuf('a list of numbers ends within one')
    values.push(wire === VARINT ? decodeVarints(value, 8) : value)
  }
  return kind === BYTES_LIST ? values : [Buffer.concat(values)]
}

function putFeature(preimage: Preimage, { kind, values, others }: Feature): void {
  preimage.number(kind).bytes(others).number(values.length)
  for (const value of values) preimage.bytes(value)
}
