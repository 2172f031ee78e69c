/**
 * The names of purge epochs: those that a key covers, and those that a purge replaces. Both are written here alone, as a
 * purge that spells a name in another way than the keys do would say that it succeeded and leave every answer in place.
 */

/** Covered by every key. */
export const EVERYTHING = 'all'

/** What a call belongs to. */
export interface PurgeableCall {
  readonly route: string
  readonly model: string | undefined
  readonly version: string | undefined
  readonly tags: readonly string[]
}

/** What to purge: all that fits any member; a version is one of its model. */
export interface PurgeScope {
  readonly model?: string | undefined
  readonly version?: string | undefined
  readonly route?: string | undefined
  readonly tags?: readonly string[] | undefined
}

/** The names that the key of a call covers, in a fixed order. */
export function namesOfCall({ route, model, version, tags }: PurgeableCall): string[] {
  const names = [EVERYTHING, routeName(route)]
  if (model !== undefined) names.push(modelName(model), versionName(model, version))
  for (const tag of tags) names.push(tagName(tag))
  return names
}

/** The names that a purge replaces. */
export function namesOfPurge({ route, model, version, tags = [] }: PurgeScope): string[] {
  const names: string[] = []
  if (model !== undefined && version === undefined) names.push(modelName(model))
  // Calls that name no version may hold answers of any: a purge of one version takes them along.
  if (model !== undefined && version !== undefined)
    names.push(versionName(model, version), versionName(model, undefined))
  if (route !== undefined) names.push(routeName(route))
  return [...names, ...tags.map(tagName)]
}

const modelName = (model: string): string => `model:${model}`
const versionName = (model: string, version: string | undefined): string => `model:${model}/${version ?? ''}`
const routeName = (route: string): string => `route:${route}`
const tagName = (tag: string): string => `tag:${tag}`
