//! `meshnode dev`: a whole mesh on one machine, which checks what it claims.
