/**
 * The names of purge epochs: those that a key covers, and those that a purge replaces. Only this file spells them: a
 * purge with another spelling than the keys' would report success and leave every answer in place.
 */

/** Every key covers it. */
export const EVERYTHING = 'all'
/**
 * No key covers it: replaced with each purge by key, so that files of answers show whether one came after them. Facts share one
 * space of names: `purged-keys` is the list of those keys.
 */
export const PURGED_KEYS = 'purges-by-key'

/** What a call belongs to, as far as purges go. */
export interface PurgeableCall {
  readonly route: string
  readonly model: string | undefined
  readonly version: string | undefined
  readonly tags: readonly string[]
}

/** What to purge: whatever matches any member; a version is one of its model. */
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
  // Calls that name no version may have stored answers of any version: a purge of one version purges them too.
  if (model !== undefined && version !== undefined)
    names.push(versionName(model, version), versionName(model, undefined))
  if (route !== undefined) names.push(routeName(route))
  return [...names, ...tags.map(tagName)]
}

const modelName = (model: string): string => `model:${model}`
const versionName = (model: string, version: string | undefined): string => `model:${model}/${version ?? ''}`
const routeName = (route: string): string => `route:${route}`
const tagName = (tag: string): string => `tag:${tag}`
