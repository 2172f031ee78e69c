/**
 * The schema for editors: completion and squiggles while the YAML is written.
 */
import * as z from 'zod'
import { type KindNote, kinds } from '../../src/config/schema/fields.ts'
import { schema } from '../../src/config/schema.ts'

/** JSON Schema (draft 2020-12) of what may stand in the YAML, as text. */
export function jsonSchema(): string {
  const described = z.toJSONSchema(schema, {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      const note = kinds.get(zodSchema)
      const rule = note && EDITOR[note.kind]
      if (rule) Object.assign(jsonSchema, rule)
      // A variable may stand for any of these; editors must not underline it.
      const isScalar = ['integer', 'number', 'boolean'].includes(String(jsonSchema.type))
      if (isScalar || jsonSchema.enum || (!rule && jsonSchema.pattern)) allowVariable(jsonSchema)
    },
  })
  return `${JSON.stringify({ ...described, title: 'infergate configuration' }, null, 2)}\n`
}

const EDITOR: Readonly<Partial<Record<KindNote['kind'], object>>> = {
  duration: {
    anyOf: [{ type: 'string', pattern: '^\\d+(\\.\\d+)?\\s?(ms|s|m|h|d)$|^0$|\\$\\{' }, { const: 0 }],
  },
  rate: { type: 'string', pattern: '^\\d+(\\.\\d+)?[kMG]?/[smhd]$|\\$\\{' },
  size: {
    anyOf: [
      { type: 'string', pattern: '^\\d+(\\.\\d+)?\\s?([kMGT]?B|[KMGT]iB)?$|\\$\\{' },
      { type: 'integer' },
    ],
  },
}

type JsonSchema = z.core.JSONSchema.BaseSchema

function allowVariable(json: JsonSchema): void {
  const { description, default: initial, ...rule } = json
  for (const key of Object.keys(rule)) delete json[key]
  json.anyOf = [rule, { type: 'string', pattern: '\\$\\{' }]
  Object.assign(json, {
    ...(description && { description }),
    ...(initial !== undefined && { default: initial }),
  })
}
