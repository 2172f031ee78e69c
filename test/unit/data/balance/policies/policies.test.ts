import { describe, expect, it } from 'vitest'
import { createPolicy, policyNames } from '../../../../../src/data/balance/policies/policies.ts'
import { createLoadTable } from '../../../../../src/data/balance/table.ts'
import { policyContract } from '../../../../../src/testing/policy.ts'

for (const name of policyNames) policyContract(name, (context) => createPolicy(name, context))

describe('the registry of policies', () => {
  it('gives each policy the name it has in the YAML', () => {
    for (const name of policyNames) {
      const context = { random: Math.random, now: () => 0, table: createLoadTable(8) }
      expect(createPolicy(name, context).name).toBe(name)
    }
  })
})
