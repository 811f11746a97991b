"""Log-densities, divergences, quadrature and units: the arithmetic of probability."""
