/**
 * An encoder as convolutions in the order of their computation.
 *
 * Each reads maps that were computed before and writes a map of its own. Map 0 is the input; map
 * n + 1 is the output of convolution n. What an encoder is made of (`parts.py`) becomes convolutions
 * and sums with earlier maps; a fusion is a chain of 1×1×1 convolutions, each of which adds to the
 * sum before, so that no map waits for the end of all blocks.
 */

import type { LayerWords, Model, PartWords } from './model';

/** A map that is added to a convolution's output: all channels, or the first one to every channel. */
export interface Added {
  map: number;
  everywhere: boolean;
}

export interface Convolution {
  /** Name of the module whose weights it has. */
  name: string;
  /** Planes, rows and columns that it reads to each side: 0 or 1. */
  reach: 0 | 1;
  /** The maps that it reads side by side, each with the first of its channels in the weights. */
  inputs: { map: number; channel: number }[];
  hasBias: boolean;
  relu: boolean;
  added: Added[];
}

export interface Graph {
  /** Channels of each map. */
  channels: number[];
  convolutions: Convolution[];
  /** How many voxels away an input voxel can still change a feature. */
  radius: number;
}

export function graphOf(model: Model): Graph {
  const builder = new Builder(model);
  builder.part(model.manifest.encoder, 0);
  const { channels, convolutions } = builder;
  const read = [0];
  for (const { reach, inputs, added } of convolutions) {
    const before = [...inputs.map(({ map }) => read[map] + reach), ...added.map(({ map }) => read[map])];
    read.push(Math.max(...before));
  }
  return { channels, convolutions, radius: read[read.length - 1] };
}

class Builder {
  readonly channels: number[];
  readonly convolutions: Convolution[] = [];

  constructor(private readonly model: Model) {
    this.channels = [model.manifest.config.acquisitions.length * 3 + 3];
  }

  /** Computes a part of map `from`; returns the map that it gives. */
  part(words: PartWords, from: number): number {
    switch (words.part) {
      case 'layers': {
        const out = words.layers.reduce((map, layer) => this.layer(layer, [map]), from);
        if (words.shortcut) this.add({ map: from, everywhere: false });
        return out;
      }
      case 'dense': {
        const maps = [from];
        for (const layer of words.layers) maps.push(this.layer(layer, maps));
        this.add({ map: from, everywhere: false });
        return maps[maps.length - 1];
      }
      case 'chain':
        return words.parts.reduce((map, part) => this.part(part, map), from);
      case 'residual': {
        const out = this.part(words.branch, from);
        this.add({ map: from, everywhere: words.width === 1 });
        return out;
      }
      case 'fusion': {
        let [map, channel, sum] = [from, 0, -1];
        for (const part of words.parts) {
          map = this.part(part, map);
          const before = sum;
          sum = this.layer({ conv: words.conv, relu: false }, [map], channel, before < 0);
          if (before >= 0) this.add({ map: before, everywhere: false });
          channel += this.channels[map];
        }
        return sum;
      }
    }
  }

  private layer(words: LayerWords, maps: number[], channel = 0, hasBias = true): number {
    const [out, , size] = this.model.shape(`${words.conv}.weight`);
    const inputs = maps.map((map) => {
      const input = { map, channel };
      channel += this.channels[map];
      return input;
    });
    const reach = size === 3 ? 1 : 0;
    this.convolutions.push({ name: words.conv, reach, inputs, hasBias, relu: words.relu, added: [] });
    return this.channels.push(out) - 1;
  }

  /** Adds a map to what was computed last. */
  private add(added: Added): void {
    this.convolutions[this.convolutions.length - 1].added.push(added);
  }
}
