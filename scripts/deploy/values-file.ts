/** The chart's values.yaml as a list: each value, its default, and the sentence above it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMap, parseDocument, type YAMLMap } from 'yaml'
import { CHART } from './places.ts'

export interface DocumentedValue {
  /** `image.tag` */
  readonly path: string
  readonly sentence: string
  /** Undefined: a mapping whose members are documented one by one. */
  readonly initial: { readonly value: unknown } | undefined
}

/** Every value with a sentence, in the order of the file. Throws where a value has neither a sentence nor members that have. */
export function documentedValues(): DocumentedValue[] {
  const document = parseDocument(readFileSync(join(CHART, 'values.yaml'), 'utf8'))
  return membersOf(document.contents as YAMLMap, '')
}

function membersOf(map: YAMLMap, within: string): DocumentedValue[] {
  return map.items.flatMap(({ key, value }, at) => {
    const { value: name, commentBefore } = key as { value: string; commentBefore?: string | null }
    // The comment above a mapping's first member belongs to the mapping, for the parser.
    const comment = commentBefore ?? (at === 0 ? map.commentBefore : undefined)
    const path = `${within}${name}`
    const members = isMap(value) && isDocumented(value) ? membersOf(value, `${path}.`) : undefined
    const sentence = comment?.trim().replaceAll(/\s*\n\s*/g, ' ')
    if (sentence === undefined && members === undefined)
      throw new Error(`values.yaml: ${path} has no comment above it`)
    const initial = members ? undefined : { value: isMap(value) ? value.toJSON() : plain(value) }
    return [...(sentence === undefined ? [] : [{ path, sentence, initial }]), ...(members ?? [])]
  })
}

const isDocumented = (map: YAMLMap): boolean =>
  Boolean(map.commentBefore) || map.items.some(({ key }) => (key as { commentBefore?: string }).commentBefore)

const plain = (node: unknown): unknown => (node as { toJSON(): unknown }).toJSON()
