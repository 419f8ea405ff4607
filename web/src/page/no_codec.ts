/** In place of the codecs of Zarr (`vite.config.ts`). */
export default undefined;
