/**
 * Makes one page of the gateway's families and those of plugins: each family stands there once,
 * every sample of a plugin says whose it is, and no plugin can speak in the gateway's name.
 */
import { sampleLine } from './exposition.ts'
import { claimedNames, type Family, OWN_PREFIX, PLUGIN_LABEL } from './family.ts'
import type { ParsedSample } from './parse.ts'

/** The page of one plugin, its samples carrying the label `plugin` already. */
export interface PluginPage {
  readonly plugin: string
  readonly families: readonly Family[]
}

/** A family that is missing on the merged page, and why. */
export interface DroppedFamily {
  readonly plugin: string
  readonly family: string
  readonly reason: string
}

export interface Merged {
  readonly families: readonly Family[]
  readonly dropped: readonly DroppedFamily[]
}

/**
 * Writes samples of a plugin's page so that they tell whose they are. A label `plugin` that is
 * there already becomes `exported_plugin`, and one of that name gets the prefix once more: two
 * series that differ on the plugin's page differ on ours.
 */
export function markedSample(plugin: string): (sample: ParsedSample) => string {
  return ({ name, labels, value, timestamp }) => {
    const marked = labels.map(
      ([label, text]) => [TAKEN_LABEL.test(label) ? `exported_${label}` : label, text] as const,
    )
    marked.push([PLUGIN_LABEL, plugin])
    return sampleLine(name, marked, value, timestamp)
  }
}

const TAKEN_LABEL = /^(?:exported_)*plugin$/

/** Our families come first, then those of the pages in their order; who comes first, stays. */
export function mergePages(own: readonly Family[], pages: readonly PluginPage[]): Merged {
  const merged = new Map<string, Family>()
  /** Which family has a name of a sample, and whose family that is; "" for the gateway. */
  const claims = new Map<string, { readonly family: string; readonly plugin: string }>()
  const dropped: DroppedFamily[] = []
  const place = (family: Family, plugin: string) => {
    const clash = claimsOf(family, claims) ?? typeClash(family, merged.get(family.name))
    if (clash !== null) {
      dropped.push({ plugin, family: family.name, reason: clash })
      return
    }
    const known = merged.get(family.name)
    merged.set(family.name, known === undefined ? family : joined(known, family))
    for (const name of claimedNames(family.name, family.type)) {
      if (!claims.has(name)) claims.set(name, { family: family.name, plugin })
    }
  }
  for (const family of own) place(family, '')
  for (const { plugin, families } of pages) {
    for (const family of families) {
      if (!family.name.startsWith(OWN_PREFIX)) place(family, plugin)
      else dropped.push({ plugin, family: family.name, reason: OWN_NAME })
    }
  }
  return { families: [...merged.values()], dropped }
}

const OWN_NAME = `names that begin with ${OWN_PREFIX} are the gateway's own`

function claimsOf(
  family: Family,
  claims: ReadonlyMap<string, { readonly family: string; readonly plugin: string }>,
): string | null {
  for (const name of claimedNames(family.name, family.type)) {
    const claim = claims.get(name)
    if (claim === undefined || claim.family === family.name) continue
    return `its name ${name} is taken by ${claim.family} of ${claim.plugin || 'the gateway'}`
  }
  return null
}

function typeClash(family: Family, known: Family | undefined): string | null {
  if (known === undefined || known.type === family.type) return null
  return `it is a ${family.type} here and a ${known.type} on an earlier page`
}

/** The first page's help stands; where it gave none, the next one's. */
function joined(known: Family, added: Family): Family {
  return {
    ...known,
    help: known.help === '' ? added.help : known.help,
    lines: [...known.lines, ...added.lines],
  }
}
