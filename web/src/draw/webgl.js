/** Draws with WebGL2: the weights of each cell lie in a uniform buffer, and every pixel evaluates its cell's network. */
import { Painter } from "./painter.js";
import { columnsOf, fragment, packed, PIXELS, UNPACK, VERTEX } from "./shader.js";

export class WebGLPainter extends Painter {
  /** Throws an error where there is no WebGL2, or where a network is too large for it. */
  constructor(model, canvas) {
    super(model, canvas);
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("this browser has no WebGL2");
    this.gl = gl;
    this.#begin();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.#begin());
  }

  #begin() {
    const { gl } = this;
    this.programs = new Map();
    this.buffer = gl.createBuffer();
    this.texture = gl.createTexture(); // the picture, several pixels a texel
    this.framebuffer = gl.createFramebuffer();
    this.unit = gl.getParameter(gl.UNIFORM_BUFFER_OFFSET_ALIGNMENT) / 4;
    const most = gl.getParameter(gl.MAX_UNIFORM_BLOCK_SIZE) / 16;
    const { plain, detail } = this.model.renderers;
    for (const { config } of [plain, ...(detail ? [detail] : [])])
      if (columnsOf(config) > most) throw new Error("its networks are too large for WebGL2 here");
    this.renderer = plain;
    this.#program(1); // throws an error where the shader cannot be used
    this.forget();
  }

  /** Uploads the weights of cells that changed. */
  prepare(state, cells, whole) {
    const { gl, renderer } = this;
    const size = columnsOf(renderer.config) * 4;
    const stride = Math.ceil(size / this.unit) * this.unit;
    if (whole) this.#lay();
    Object.assign(this, { size, stride, done: [] });
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    gl.viewport(0, 0, this.texels, this.canvas.height);
    gl.bindBuffer(gl.UNIFORM_BUFFER, this.buffer);
    if (whole) {
      const all = new Float32Array(stride * state.cells);
      for (const cell of cells) this.#pack(state, cell, all.subarray(cell * stride, cell * stride + size));
      gl.bufferData(gl.UNIFORM_BUFFER, all, gl.DYNAMIC_DRAW);
    } else {
      const one = new Float32Array(size);
      for (const cell of cells) {
        this.#pack(state, cell, one);
        gl.bufferSubData(gl.UNIFORM_BUFFER, cell * stride * 4, one);
      }
    }
  }

  /** Lays out the texture: each band of columns begins with a texel of its own. */
  #lay() {
    const { gl } = this;
    this.texels = 0;
    for (const band of this.x.bands) {
      band.texel = this.texels;
      this.texels += Math.ceil((band.beyond - band.first) / PIXELS);
    }
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    const size = [this.texels, this.canvas.height];
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32UI, ...size, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
  }

  #pack(state, cell, target) {
    packed(this.renderer.weights(state, cell), this.renderer.config, this.mask, target);
  }

  /** Draws a rectangle of pixels that some cells draw together. */
  rectangle(rows, cols, drawers) {
    const { gl, canvas, x, y } = this;
    const { program, uniforms } = this.#program(drawers.length);
    gl.useProgram(program);
    drawers.forEach(({ cell }, i) =>
      gl.bindBufferRange(gl.UNIFORM_BUFFER, i, this.buffer, cell * this.stride * 4, this.size * 4),
    );
    const upwards = canvas.height - 0.5; // WebGL counts rows from below, and a pixel's centre is half a pixel on
    const places = drawers.flatMap(({ row, col }) => [
      ...[2 * x.step, -2 * y.step],
      ...[x.coordinate(-0.5, col), y.coordinate(upwards, row)],
    ]);
    gl.uniform4fv(uniforms.places, places);
    const [right, below] = [x.step * x.strip, y.step * y.strip];
    const across = cols.blended ? [right, 0, x.share(-0.5, cols)] : [0, -below, y.share(upwards, rows)];
    gl.uniform3fv(uniforms.across, across);
    gl.uniform3fv(uniforms.down, [0, -below, y.share(upwards, rows)]);
    gl.uniform2f(uniforms.start, cols.first, cols.texel);
    const texels = Math.ceil((cols.beyond - cols.first) / PIXELS);
    this.#quad(uniforms, cols.texel, cols.texel + texels, rows, this.texels);
    this.done.push([rows, cols]);
  }

  /** Unpacks onto the canvas what was drawn. */
  finish() {
    const { gl, canvas, done } = this;
    const { program, uniforms } = this.#program(0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.useProgram(program);
    const whole = done.length === this.y.bands.length * this.x.bands.length;
    const rows = { first: 0, beyond: canvas.height };
    for (const [band, cols] of whole ? this.x.bands.map((cols) => [rows, cols]) : done) {
      gl.uniform2f(uniforms.start, cols.first, cols.texel);
      this.#quad(uniforms, cols.first, cols.beyond, band, canvas.width);
    }
    gl.flush();
  }

  #quad(uniforms, left, right, { first, beyond }, width) {
    const { gl, canvas } = this;
    const across = (column) => (2 * column) / width - 1;
    const up = (row) => 1 - (2 * row) / canvas.height;
    gl.uniform4f(uniforms.corners, across(left), up(beyond), across(right), up(first));
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  /** The program for rectangles of so many networks, 0 for that which unpacks; made when it is first needed. */
  #program(networks) {
    const key = `${this.renderer === this.model.renderers.detail}${networks}`;
    if (!this.programs.has(key)) {
      const { gl } = this;
      const program = gl.createProgram();
      const logs = [];
      for (const [kind, text] of [
        [gl.VERTEX_SHADER, VERTEX],
        [gl.FRAGMENT_SHADER, networks ? fragment(this.renderer.config, networks) : UNPACK],
      ]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, text);
        gl.compileShader(shader);
        gl.attachShader(program, shader);
        logs.push(gl.getShaderInfoLog(shader));
      }
      gl.linkProgram(program);
      if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
        throw new Error("the shader cannot be used in this browser", { cause: logs.join("\n") });
      for (let i = 0; i < networks; i++)
        gl.uniformBlockBinding(program, gl.getUniformBlockIndex(program, `Network${i}`), i);
      const at = (name) => gl.getUniformLocation(program, name);
      const names = ["corners", "places", "across", "down", "start"];
      const uniforms = Object.fromEntries(names.map((name) => [name, at(name)]));
      this.programs.set(key, { program, uniforms });
    }
    return this.programs.get(key);
  }
}
