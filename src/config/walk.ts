/**
 * Inspects the schema: which field a path leads to, and which keys are known there. Messages, printed settings and the
 * reference page are made from it.
 */
import * as z from 'zod'
import { type KindNote, kinds, statics } from './schema/fields.ts'

export type Schema = z.core.$ZodType
export type Path = readonly PropertyKey[]

/** The schema under its default and its optionality. */
export function core(schema: Schema): Schema {
  let inner = schema
  while (
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodExactOptional
  ) {
    inner = inner.def.innerType
  }
  return inner
}

export function kindOf(schema: Schema): KindNote | undefined {
  return kinds.get(core(schema))
}

/** Which change of this field needs a restart: of its value, or only of whether it is there. Undefined: none. */
export function restartOn(schema: Schema): 'value' | 'presence' | undefined {
  return statics.get(schema)?.restart
}

export interface Default {
  readonly value: unknown
}

/** The default in the YAML's own form; undefined where there is none. */
export function defaultOf(schema: Schema): Default | undefined {
  return schema instanceof z.ZodPrefault ? { value: schema.def.defaultValue } : undefined
}

/** The fields of a mapping; of a union, those of the alternative that `value` selects. */
export function fieldsOf(schema: Schema, value: unknown): Readonly<Record<string, Schema>> | undefined {
  const inner = core(schema)
  if (inner instanceof z.ZodObject) return inner.def.shape
  if (!(inner instanceof z.ZodDiscriminatedUnion)) return undefined
  const chosen = property(value, inner.def.discriminator)
  const option = inner.def.options.find((one) => literalOf(one, inner.def.discriminator) === chosen)
  return option && fieldsOf(option, value)
}

/** The discriminator's value of this alternative of a union. */
export function literalOf(option: Schema, discriminator: string): unknown {
  const field = option instanceof z.ZodObject ? option.def.shape[discriminator] : undefined
  return field instanceof z.ZodLiteral ? field.def.values[0] : undefined
}

/** The schema of `value[key]`. */
export function childOf(schema: Schema, key: PropertyKey, value: unknown): Schema | undefined {
  const inner = core(schema)
  if (inner instanceof z.ZodArray) return inner.def.element
  if (inner instanceof z.ZodRecord) return inner.def.valueType
  const fields = fieldsOf(inner, value)
  return fields && typeof key === 'string' && Object.hasOwn(fields, key) ? fields[key] : undefined
}

/** The schema at `path`, as far as `value` chooses between alternatives. */
export function schemaAt(schema: Schema, path: Path, value: unknown): Schema | undefined {
  let [here, there]: [Schema | undefined, unknown] = [schema, value]
  for (const key of path) {
    here = here && childOf(here, key, there)
    there = property(there, key)
  }
  return here
}

export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(property, value)
}

/** `value[key]`, undefined where there is no such own property. */
export function property(value: unknown, key: PropertyKey): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<PropertyKey, unknown>)[key]
}

/** `pools.ranker.backends[0].url` */
export function printPath(path: Path): string {
  return path
    .map((key) => {
      if (typeof key === 'number') return `[${key}]`
      const isPlain = /^[A-Za-z0-9_-]+$/.test(String(key))
      return isPlain ? `.${String(key)}` : `[${JSON.stringify(String(key))}]`
    })
    .join('')
    .replace(/^\./, '')
}
