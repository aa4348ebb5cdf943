/** A configuration before it is checked: values as they were written, each with its place. */
import type { Place } from './problem.ts'
import type { Path } from './shape.ts'

/** A value as it was written. Scalars are text, but below keys that take anything. */
export type Written = string | number | boolean | null | Written[] | WrittenMap

/** A map as it was written. */
export interface WrittenMap {
  [key: string]: Written
}

/** Where a value stands. */
export interface Standing {
  readonly key: Place
  readonly value: Place
  /** The text as written, for messages; null for secrets, maps and lists. */
  readonly shown: string | null
}

/** True for a map, false for lists, scalars and nothing. */
export function isMap(value: unknown): value is WrittenMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** One file's worth of configuration, with variables and flags laid over it. */
export class Draft {
  readonly root: WrittenMap
  readonly #standings: Map<string, Standing & { readonly path: Path }>
  /** Where problems of the whole are said to be. */
  readonly file: string

  constructor(file: string, root: WrittenMap = {}) {
    this.file = file
    this.root = root
    this.#standings = new Map()
  }

  /** The value at a path, or undefined. */
  at(path: Path): Written | undefined {
    let value: Written | undefined = this.root
    for (const key of path) value = childOf(value, key)
    return value
  }

  /** The entries of the map at a path; none where there is no map. */
  entries(...path: string[]): readonly (readonly [string, Written])[] {
    const value = this.at(path)
    return isMap(value) ? Object.entries(value) : []
  }

  /** The names in the map at a path. */
  names(...path: string[]): readonly string[] {
    return this.entries(...path).map(([name]) => name)
  }

  /** Puts a value at a path, making the maps above it; false where something else is in the way. */
  put(path: Path, value: Written): boolean {
    const last = path.at(-1)
    if (last === undefined) return false
    let map = this.root
    for (const key of path.slice(0, -1)) {
      const inner = (Object.hasOwn(map, key) ? map[key] : null) ?? {}
      if (!isMap(inner)) return false
      map[key] = inner
      map = inner
    }
    map[last] = value
    return true
  }

  /** Takes a key away. */
  drop(path: Path): void {
    const map = this.at(path.slice(0, -1))
    const last = path.at(-1)
    if (isMap(map) && last !== undefined) delete map[last]
  }

  /** Notes where the value at a path stands, and so does what it brought into being above it. */
  stand(path: Path, standing: Standing): void {
    this.#standings.set(path.join('\n'), { ...standing, path })
    for (let length = path.length - 1; length > 0; length--) {
      const above = path.slice(0, length)
      const key = above.join('\n')
      if (this.#standings.has(key)) return
      this.#standings.set(key, { ...standing, shown: null, path: above })
    }
  }

  /** Notes that a path, with all below it, now comes from somewhere else. */
  restand(path: Path, standing: Standing): void {
    const below = `${path.join('\n')}\n`
    for (const key of this.#standings.keys()) {
      if (key.startsWith(below)) this.#standings.delete(key)
    }
    this.stand(path, standing)
  }

  /** Where a path stands, else the closest section above it that stands anywhere. */
  standing(path: Path): Standing {
    for (let length = path.length; length > 0; length--) {
      const found = this.#standings.get(path.slice(0, length).join('\n'))
      if (found === undefined) continue
      return length === path.length ? found : { ...found, value: found.key, shown: null }
    }
    const place = { file: this.file, line: 0, column: 0 }
    return { key: place, value: place, shown: null }
  }

  /** The paths that were written anywhere. */
  paths(): readonly Path[] {
    return [...this.#standings.values()].map(({ path }) => path)
  }
}

function childOf(value: Written | undefined, key: string): Written | undefined {
  if (Array.isArray(value)) return value[Number(key)]
  if (!isMap(value) || !Object.hasOwn(value, key)) return undefined
  return value[key]
}
